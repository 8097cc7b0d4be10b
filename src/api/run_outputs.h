// Where a run writes, checked before its first step.
#pragma once

#include <filesystem>
#include <vector>

#include "millwright/run_settings.hpp"
#include "package/apart.h"

namespace mw {

// With all that a run decides where it is left out, and the output as it will be called.
TrainingSettings resolved(const TrainingSettings& given);

// The adapter that is written; empty: none. Beside a package stands the adapter that is in it:
// model.mlpackage, model-adapter.safetensors. Where it is the output there is no package.
std::filesystem::path adapter_path(const TrainingSettings& settings);

// Whether there is an output that can be written and that replaces nothing that it should not: what
// stands there must be a model, and nothing that the run reads or keeps may lie inside it. `read`
// are files that the settings do not name. Throws in the settings' terms.
void check_outputs(const TrainingSettings& settings, const std::filesystem::path& model,
                   const std::vector<package::Needed>& read);

}  // namespace mw
