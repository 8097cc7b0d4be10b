// Low-rank adaptation (Hu et al. 2021): which weights get adapters, how these begin, and their
// file.
//
//   W x + (alpha / rank) B A x       with W frozen, A: [rank, inputs], B: [outputs, rank]
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "millwright/settings.hpp"
#include "ops/rewrites/adapters.h"

namespace mw::train {

inline constexpr int64_t kMostRank = 1 << 16;

// Adapters of one model. Each has its scale, alpha / rank unless the file says otherwise of it.
struct AdapterSet {
  int64_t rank = 0;
  double alpha = 0;
  std::vector<ops::Adapter> adapters;  // in the order of the program
};

// New adapters for the weights that the targets take in, but for those that are trained
// themselves: A uniform in +-1/sqrt(inputs), B zero. Throws when a setting makes no sense, or a
// target takes in no weight that can be adapted.
AdapterSet begin_adapters(const ir::Function& function, const ir::Catalog& catalog,
                          const Lora& lora, const std::vector<std::string>& trained);

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

// Those that can be adapted, the first few: "a_weight, b_weight and 3 more".
std::string names_of(const std::vector<ops::AdaptableWeight>& weights);

// "rank 8, alpha 16"
std::string describe(const AdapterSet& set);
inline constexpr const char* kLoraMetadata = "millwright.lora";

}  // namespace mw::train
