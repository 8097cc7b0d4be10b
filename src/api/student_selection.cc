// select(): the analysis of parameters, and what the globs say about each.
#include "api/student_selection.h"

#include <fnmatch.h>

#include <algorithm>

#include "base/error.h"
#include "ops/catalog.h"
#include "ops/rewrites/parameters.h"

namespace mw {
namespace {

bool matches(const std::string& glob, const std::string& name) {
  return fnmatch(glob.c_str(), name.c_str(), 0) == 0;
}

}  // namespace

Selection select(const ir::Function& function, const std::vector<std::string>& globs) {
  Selection selection;
  std::vector<bool> used(globs.size(), false);
  for (const ops::ParameterInfo& info : ops::parameters_of(function, ops::catalog())) {
    Parameter parameter;
    parameter.name = info.name;
    if (info.value->type.is_tensor()) parameter.shape = info.value->type.shape();
    parameter.stored = info.value->type.dtype();
    parameter.reason = info.reason;
    for (size_t i = 0; i < globs.size(); ++i) {
      if (!matches(globs[i], info.name)) continue;
      const bool taken = info.trainable || (info.selectable && globs[i] != "*");
      used[i] = used[i] || taken;
      parameter.trained = parameter.trained || taken;
    }
    if (parameter.trained) selection.candidates.push_back({info.op, info.name});
    selection.parameters.push_back(std::move(parameter));
  }
  for (size_t i = 0; i < globs.size(); ++i) {
    if (used[i]) continue;
    fail(ErrorCode::kInvalidArgument,
         "trainable '{}': expected a glob that matches a parameter; `millwright inspect` lists "
         "them",
         globs[i]);
  }
  return selection;
}

void check_groups(const std::vector<ParameterGroup>& groups,
                  const std::vector<train::Lifted::Parameter>& parameters) {
  for (const ParameterGroup& group : groups) {
    const bool used = std::any_of(parameters.begin(), parameters.end(),
                                  [&](const auto& p) { return matches(group.glob, p.name); });
    if (used) continue;
    fail(ErrorCode::kInvalidArgument,
         "group '{}': expected a glob that matches a parameter that is trained", group.glob);
  }
}

}  // namespace mw
