// Low-rank adaptation (Hu et al. 2021): which weights get adapters, how these begin, and their
// file.
//
//   W x + (alpha / rank) B A x       with W frozen, A: [rank, inputs], B: [outputs, rank]
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "millwright/training.hpp"
#include "ops/rewrites/adapters.h"

namespace mw::train {

// Adapters of one model.
struct AdapterSet {
  int64_t rank = 0;
  double alpha = 0;
  std::vector<ops::Adapter> adapters;  // in the order of the program

  [[nodiscard]] double scale() const { return alpha / static_cast<double>(rank); }
};

// New adapters for the weights that the targets take in, but for those that are trained
// themselves: A uniform in +-1/sqrt(inputs), B zero. Throws when a setting makes no sense, or a
// target takes in no weight that can be adapted.
AdapterSet begin_adapters(const ir::Function& function, const ir::Catalog& catalog,
                          const Lora& lora, const std::vector<std::string>& trained);

// A .safetensors file: WEIGHT.lora_A and WEIGHT.lora_B in fp32; rank, alpha and the version of the
// format as metadata. Atomic.
void write_adapters(const std::filesystem::path& path, const AdapterSet& set);
// Names, shapes and rank are checked against the function.
AdapterSet read_adapters(const std::filesystem::path& path, const ir::Function& function,
                         const ir::Catalog& catalog);

// "rank 8, alpha 16"
std::string describe(const AdapterSet& set);
inline constexpr const char* kLoraMetadata = "millwright.lora";

}  // namespace mw::train
