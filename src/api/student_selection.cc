// select(): the analysis of parameters, and what the globs say about each.
#include "api/student_selection.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/glob.h"
#include "ops/catalog.h"
#include "ops/rewrites/parameters.h"
#include "ops/rewrites/shared_weights.h"

namespace mw {
namespace {

using Blob = std::pair<std::string, uint64_t>;

// The blob that ties a parameter to others.
std::optional<Blob> tie_of(const ir::Value& value) {
  const ir::ConstantPtr constant = ir::constant_of(&value);
  if (constant == nullptr || !constant->blob_ref() || ops::is_one_number(constant->value())) {
    return std::nullopt;
  }
  return Blob{constant->blob_ref()->path, constant->blob_ref()->offset};
}

// A weight has one set of numbers, whatever names it goes by: one that is chosen takes in the rest.
void follow_ties(const std::vector<ops::ParameterInfo>& infos, Selection& selection) {
  std::map<Blob, std::string> chosen;
  for (const train::Candidate& candidate : selection.candidates) {
    if (const auto tie = tie_of(*candidate.op->outputs[0])) chosen.emplace(*tie, candidate.name);
  }
  std::set<Blob> seen;
  for (size_t i = 0; i < infos.size(); ++i) {
    Parameter& parameter = selection.parameters[i];
    const auto tie = tie_of(*infos[i].value);
    if (tie && !seen.insert(*tie).second) parameter.role = Parameter::Role::kTie;
    if (parameter.trained || !infos[i].op->is_const() || !is_float(parameter.stored)) continue;
    const auto found = tie ? chosen.find(*tie) : chosen.end();
    if (found == chosen.end()) continue;
    parameter.trained = true;
    parameter.reason = fmt::format("has the numbers of '{}'", found->second);
    selection.candidates.push_back({infos[i].op, infos[i].name});
  }
}

}  // namespace

Selection select(const ir::Function& function, const std::vector<std::string>& globs) {
  Selection selection;
  std::vector<bool> used(globs.size(), false);
  const auto infos = ops::parameters_of(function, ops::catalog());
  for (const ops::ParameterInfo& info : infos) {
    Parameter parameter;
    parameter.name = info.name;
    if (info.value->type.is_tensor()) parameter.shape = info.value->type.shape();
    parameter.stored = info.value->type.dtype();
    parameter.reason = info.reason;
    for (size_t i = 0; i < globs.size(); ++i) {
      if (!matches_glob(globs[i], info.name)) continue;
      const bool taken = info.trainable || (info.selectable && globs[i] != "*");
      used[i] = used[i] || taken;
      parameter.trained = parameter.trained || taken;
    }
    if (info.trainable && !parameter.trained) parameter.reason = "not chosen";
    if (info.compressed) parameter.role = Parameter::Role::kCompressed;
    if (parameter.trained) selection.candidates.push_back({info.op, info.name});
    selection.parameters.push_back(std::move(parameter));
  }
  for (size_t i = 0; i < globs.size(); ++i) {
    if (used[i]) continue;
    fail(ErrorCode::kInvalidArgument,
         "{} '{}': expected a glob that matches a parameter; `millwright inspect` lists "
         "them",
         setting("trainable"), globs[i]);
  }
  follow_ties(infos, selection);
  return selection;
}

void check_groups(const std::vector<ParameterGroup>& groups,
                  const std::vector<train::Lifted::Parameter>& parameters) {
  for (const ParameterGroup& group : groups) {
    const bool used = std::any_of(parameters.begin(), parameters.end(),
                                  [&](const auto& p) { return matches_glob(group.glob, p.name); });
    if (used) continue;
    fail(ErrorCode::kInvalidArgument,
         "{} '{}': expected a glob that matches a parameter that is trained", setting("groups"),
         group.glob);
  }
}

}  // namespace mw
