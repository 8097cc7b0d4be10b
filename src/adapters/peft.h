// Adapters as Hugging Face PEFT keeps them: adapter_model.safetensors with factors by the names of
// modules, and adapter_config.json beside it with rank, alpha and the kind of adapter.
#pragma once

#include <filesystem>

#include "adapters/file.h"

namespace mw::adapters {

// A folder, or a .safetensors file with adapter_config.json beside it that does not say that it is
// of our own format.
bool is_peft(const std::filesystem::path& path);

// Modules are matched with weights by their names, all by the same prefix (module_names.h). What
// would make the model compute something else than PEFT does is refused by its name.
AdapterSet read_peft(const std::filesystem::path& path,
                     const std::vector<AdaptableWeight>& weights);

// Throws where something else than an adapter's folder, or an empty one, stands at the place.
void expect_replaceable_peft(const std::filesystem::path& folder);

// The folder and both files; other files in it stay. Atomic. `module_names`: a .safetensors file
// with the weights of the model that the program was converted from, or the index of several;
// empty: modules are called as the weights, where dots are lost.
void write_peft(const std::filesystem::path& folder, const AdapterSet& set,
                const std::filesystem::path& module_names);

}  // namespace mw::adapters
