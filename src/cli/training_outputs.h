// Where a training command writes, checked before its first step.
#pragma once

#include <filesystem>

#include "cli/training_options.h"

namespace mw::cli {

// Whether the output is an adapter and no package: a .safetensors file, or, as PEFT has it, a
// folder whose name has no extension.
bool is_adapter(const TrainingOptions& options);
// The adapter that is written; empty: none. Beside a package stands the adapter that is in it:
// model.mlpackage, model-adapter.safetensors.
std::filesystem::path adapter_path(const TrainingOptions& options);
// Of checkpoints, metrics and report.
std::filesystem::path run_folder(const TrainingOptions& options);

// Whether the output can be written, and replaces nothing that it should not: what stands there
// must be a model, and nothing that the run reads or keeps may lie inside it.
void check_outputs(const TrainingOptions& options);

}  // namespace mw::cli
