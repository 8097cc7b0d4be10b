// Adapters as mlx-lm keeps them: adapters.safetensors with factors by the names of modules, which
// lie the other way round than PEFT's, and adapter_config.json beside it, the settings of its
// training.
#pragma once

#include <filesystem>

#include "adapters/modules.h"

namespace mw::adapters {

// Whether that is one: a folder with adapters.safetensors, or a .safetensors file with such a
// configuration beside it. Where a folder has PEFT's file as well, the configuration decides.
bool is_mlx(const std::filesystem::path& path);

// MODULE.lora_a: [inputs, rank], MODULE.lora_b: [rank, outputs], of DoRA MODULE.m: [outputs];
// modules as with PEFT. What is no such adapter (whole weights, experts) is refused by its name.
AdapterSet read_mlx(const std::filesystem::path& path, const std::vector<AdaptableWeight>& weights,
                    const ModuleMap& map);

// `module_names` as modules_of() takes them. Without, the dots of names that decoders usually have
// (model.layers.3.self_attn.q_proj) are put back; throws where that cannot be told, and for a
// kernel wider than 1.
void write_mlx(const std::filesystem::path& folder, const AdapterSet& set,
               const std::filesystem::path& module_names);

// "model_layers_3_self_attn_q_proj" as mlx-lm calls it; "" where that cannot be told.
std::string mlx_module(const std::string& plain);

}  // namespace mw::adapters
