// AdapterSet: the adapters of one model, and how they begin.
//
//   W x + (alpha / rank) B A x       with W frozen, A: [rank, inputs], B: [outputs, rank]
//
// or that with each output brought to a magnitude of its own (magnitude.h).
#pragma once

#include <string>
#include <vector>

#include "adapters/insert.h"
#include "adapters/sites.h"
#include "millwright/settings.hpp"

namespace mw::adapters {

inline constexpr int64_t kMostRank = 1 << 16;

// Adapters of one model. Each has its scale, alpha / rank unless the file says otherwise of it.
struct AdapterSet {
  int64_t rank = 0;
  double alpha = 0;
  std::vector<Adapter> adapters;  // in the order of the program
};

// New adapters for the weights that the targets take in, but for those that are trained
// themselves: A uniform in +-1/sqrt(inputs), B zero, magnitudes the weight's own. Throws when a
// setting makes no sense, or a target takes in no weight that can be adapted. `last_layers` as in
// StudentOptions.
AdapterSet begin_adapters(const ir::Function& function, const ir::Catalog& catalog,
                          const Lora& lora, const std::vector<std::string>& trained,
                          int64_t last_layers = 0);

// Throw where the number makes no sense.
void check_rank(int64_t rank);
void check_alpha(double alpha);

// Those that can be adapted, the first few: "a_weight, b_weight and 3 more".
std::string names_of(const std::vector<AdaptableWeight>& weights);

[[nodiscard]] bool has_magnitudes(const AdapterSet& set);

// "rank 8, alpha 16", "rank 8, alpha 16, DoRA"
std::string describe(const AdapterSet& set);
inline constexpr const char* kLoraMetadata = "millwright.lora";

}  // namespace mw::adapters
