// Adapters in files: our own .safetensors, and folders of Hugging Face PEFT and of mlx-lm.
#pragma once

#include <filesystem>
#include <optional>

#include "adapters/set.h"
#include "millwright/run_settings.hpp"

namespace mw::adapters {

// The form of what stands at the path; nothing where that is no adapter.
std::optional<AdapterFormat> format_at(const std::filesystem::path& path);
// The form in which a path is written where none is given: that of an adapter's folder it replaces,
// without an extension PEFT's, else our own.
AdapterFormat format_for(const std::filesystem::path& path);

// Our own, a .safetensors file: WEIGHT.lora_A and WEIGHT.lora_B in fp32, WEIGHT.lora_magnitude
// where there is one; rank, alpha and the version of the format as metadata. Else a folder, by a
// name without an extension (peft.h, mlx.h); `module_names` is for that alone. Atomic.
void write_adapters(const std::filesystem::path& path, const AdapterSet& set, AdapterFormat format,
                    const std::filesystem::path& module_names = {});
// Any of the three; `module_names` as read_module_map() takes it. Names, shapes and rank are
// checked against the function.
AdapterSet read_adapters(const std::filesystem::path& path, const ir::Function& function,
                         const ir::Catalog& catalog,
                         const std::filesystem::path& module_names = {});

}  // namespace mw::adapters
