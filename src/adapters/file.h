// Adapters in files: our own .safetensors, and those of Hugging Face PEFT.
#pragma once

#include <filesystem>

#include "adapters/set.h"

namespace mw::adapters {

// A .safetensors file: WEIGHT.lora_A and WEIGHT.lora_B in fp32; rank, alpha and the version of the
// format as metadata. Atomic. By a name without an extension a folder as Hugging Face PEFT has it
// (peft.h); `module_names` is for that alone.
void write_adapters(const std::filesystem::path& path, const AdapterSet& set,
                    const std::filesystem::path& module_names = {});
// Either of the two. Names, shapes and rank are checked against the function.
AdapterSet read_adapters(const std::filesystem::path& path, const ir::Function& function,
                         const ir::Catalog& catalog);

// Whether a .safetensors file says that it is of our own format.
bool is_own_adapter(const std::filesystem::path& path);

}  // namespace mw::adapters
