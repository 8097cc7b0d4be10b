// Adapters as Hugging Face PEFT keeps them: adapter_model.safetensors with factors by the names of
// modules, and adapter_config.json beside it with rank, alpha and the kind of adapter.
#pragma once

#include <filesystem>

#include "adapters/modules.h"

namespace mw::adapters {

// The folder, or the file of tensors with the configuration beside it. Modules are matched with
// weights by the map or by their names, all by the same prefix (module_names.h). What would make
// the model compute something else than PEFT does is refused by its name.
AdapterSet read_peft(const std::filesystem::path& path, const std::vector<AdaptableWeight>& weights,
                     const ModuleMap& map);

// `module_names` as modules_of() takes them; empty: modules are called as the weights, where dots
// are lost.
void write_peft(const std::filesystem::path& folder, const AdapterSet& set,
                const std::filesystem::path& module_names);

}  // namespace mw::adapters
