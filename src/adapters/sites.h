// Where adapters can stand: the uses of weights that two thin factors can be put beside, for
// low-rank adaptation (Hu et al. 2021).
//
//   y = linear(x, w)       =>       y = linear(x, w) + linear(linear(x, a), scale * b)
#pragma once

#include <string>
#include <vector>

#include "ir/op_def.h"
#include "ops/weights/parameters.h"

namespace mw::adapters {

// A use of a weight that an adapter can stand beside: an operand of `op`.
struct AdapterSite {
  ir::Operation* op = nullptr;
  size_t input = 0;
  const ir::AdapterRule* rule = nullptr;
  bool outputs_first = true;  // this use takes the first axis of the weight as that of the outputs
};

// A weight of floats. The consts that show the same blob are one weight, with the name of the
// first.
struct AdaptableWeight {
  std::vector<ir::Value*> values;  // results of consts, or of the last constexpr op of a chain
  std::vector<std::string> names;
  std::string obstacle;  // why it cannot be adapted; empty: it can
  std::vector<AdapterSite> sites;

  [[nodiscard]] const std::string& name() const { return names.front(); }
  [[nodiscard]] const ir::Type& type() const { return values.front()->type; }
  // The axis that the first site takes as that of the outputs.
  [[nodiscard]] bool outputs_first() const { return sites.front().outputs_first; }
  // a: [rank, inputs], b: [outputs, rank]; of a convolution [rank, channels, kernel..] and
  // [outputs, rank, 1..].
  [[nodiscard]] Shape shape_of_a(int64_t rank) const;
  [[nodiscard]] Shape shape_of_b(int64_t rank) const;
  // A higher rank adds nothing.
  [[nodiscard]] int64_t full_rank() const;
};

// Every float weight that ops::parameters_of() lists, in its order: those can be adapted that are,
// also behind casts, at an input for which their op has an ir::AdapterRule.
std::vector<AdaptableWeight> adaptable_weights(const ir::Function& function,
                                               const ir::Catalog& catalog);

// ops::parameters_of(), where a compressed weight says if it can be adapted.
std::vector<ops::ParameterInfo> parameters_of(const ir::Function& function,
                                              const ir::Catalog& catalog);

}  // namespace mw::adapters
