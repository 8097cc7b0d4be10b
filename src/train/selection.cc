// select(): the analysis of parameters, and what the globs say about each.
#include "train/selection.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "adapters/layers.h"
#include "adapters/sites.h"
#include "base/error.h"
#include "base/glob.h"
#include "ir/parameter.h"
#include "ops/catalog.h"

namespace mw::training {
namespace {

// A weight has one set of numbers, whatever names it goes by: one that is chosen takes in the rest.
class Trained {
 public:
  explicit Trained(std::vector<Parameter>& parameters) : parameters_(parameters) {}

  void add(const ops::ParameterInfo& info) {
    const auto tie = ir::tie_of(*info.value);
    if (const auto known = place_of(tie)) {
      parameters_[*known].places.push_back({info.name});
      return;
    }
    if (tie) by_tie_[*tie] = parameters_.size();
    parameters_.push_back({.name = info.name, .places = {{info.name}}});
  }

  void follow_ties(const std::vector<ops::ParameterInfo>& infos, std::vector<mw::Parameter>& all) {
    std::set<ir::BlobRef> seen;
    std::set<std::string> names;  // of several consts with one name the first counts
    for (size_t i = 0; i < infos.size(); ++i) {
      if (!names.insert(infos[i].name).second) continue;
      const auto tie = ir::tie_of(*infos[i].value);
      if (tie && !seen.insert(*tie).second) all[i].role = mw::Parameter::Role::kTie;
      const auto known = place_of(tie);
      if (!known || all[i].trained || !is_float(all[i].stored)) continue;
      all[i].trained = true;
      all[i].reason = fmt::format("has the numbers of '{}'", parameters_[*known].name);
      parameters_[*known].places.push_back({infos[i].name});
    }
  }

 private:
  [[nodiscard]] std::optional<size_t> place_of(const std::optional<ir::BlobRef>& tie) const {
    const auto found = tie ? by_tie_.find(*tie) : by_tie_.end();
    return found == by_tie_.end() ? std::nullopt : std::optional(found->second);
  }

  std::vector<Parameter>& parameters_;
  std::map<ir::BlobRef, size_t> by_tie_;
};

}  // namespace

Selection select(const ir::Function& function, const std::vector<std::string>& globs,
                 int64_t last_layers) {
  Selection selection;
  std::vector<bool> used(globs.size(), false);
  Trained trained(selection.trained);
  const auto infos = adapters::parameters_of(function, ops::catalog());
  std::vector<std::string> names;
  names.reserve(infos.size());
  for (const ops::ParameterInfo& info : infos) names.push_back(info.name);
  const adapters::LastLayers layers(names, globs.empty() ? 0 : last_layers);
  for (const ops::ParameterInfo& info : infos) {
    mw::Parameter parameter;
    parameter.name = info.name;
    if (info.value->type.is_tensor()) parameter.shape = info.value->type.shape();
    parameter.stored = info.value->type.dtype();
    parameter.reason = info.reason;
    for (size_t i = 0; i < globs.size(); ++i) {
      if (!matches_glob(globs[i], info.name) || !layers.takes(info.name, globs[i])) continue;
      const bool taken = info.trainable || (info.selectable && globs[i] != "*");
      used[i] = used[i] || taken;
      parameter.trained = parameter.trained || taken;
    }
    if (info.trainable && !parameter.trained) parameter.reason = "not chosen";
    if (info.compressed) parameter.role = mw::Parameter::Role::kCompressed;
    if (parameter.trained) trained.add(info);
    selection.parameters.push_back(std::move(parameter));
  }
  for (size_t i = 0; i < globs.size(); ++i) {
    if (used[i]) continue;
    fail(ErrorCode::kInvalidArgument,
         "{} '{}': expected a glob that matches a parameter; `millwright inspect` lists "
         "them",
         setting("trainable"), globs[i]);
  }
  trained.follow_ties(infos, selection.parameters);
  return selection;
}

void check_groups(const std::vector<ParameterGroup>& groups,
                  const std::vector<Parameter>& parameters) {
  for (const ParameterGroup& group : groups) {
    const bool used = std::any_of(parameters.begin(), parameters.end(),
                                  [&](const auto& p) { return matches_glob(group.glob, p.name); });
    if (used) continue;
    fail(ErrorCode::kInvalidArgument,
         "{} '{}': expected a glob that matches a parameter that is trained", setting("groups"),
         group.glob);
  }
}

}  // namespace mw::training
