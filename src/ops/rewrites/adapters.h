// Adapters: two thin factors beside a frozen weight, for low-rank adaptation (Hu et al. 2021).
//
//   y = linear(x, w)       =>       y = linear(x, w) + linear(linear(x, a), scale * b)
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ir/op_def.h"

namespace mw::ops {

// A use of a weight that an adapter can stand beside: an operand of `op`.
struct AdapterSite {
  enum class Form : uint8_t {
    kRight,  // x w, as linear and matmul have it
    kLeft,   // w y
    kConv,
  };
  ir::Operation* op = nullptr;
  size_t input = 0;
  Form form = Form::kRight;
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

// Every float weight that parameters_of() lists, in its order: the weights of `linear` and of
// `conv` with one group and the constant factors of `matmul` can be adapted, also behind casts.
std::vector<AdaptableWeight> adaptable_weights(const ir::Function& function,
                                               const ir::Catalog& catalog);

struct Adapter {
  std::string weight;  // AdaptableWeight::name()
  Tensor a, b;         // fp32
  double scale = 1;    // of their product
};
std::string name_of_a(const std::string& weight);  // "WEIGHT.lora_A"
std::string name_of_b(const std::string& weight);

struct InsertedAdapter {
  std::string weight;
  const ir::Operation *a = nullptr, *b = nullptr;  // consts
};

// Adds the product of the factors beside every site of the named weights, which can be adapted; the
// factors become consts at the beginning of the function. Weights stay as they are.
std::vector<InsertedAdapter> insert_adapters(ir::Function& function, const ir::Catalog& catalog,
                                             const std::vector<Adapter>& adapters);

// Of a weight with its adapter: in fp64, as the file's dtype holds it, and what was there before.
struct FusedWeight {
  std::string name;
  Tensor exact, stored, original;
  std::vector<std::string> functions;  // other functions that have it and get the sum, too
  std::vector<std::string> kept;       // sentences on those that have it and cannot
};

// Writes W + scale B A in place of the named weights, in `function` and where one of the `others`,
// functions of the same program, has the same weight. A const that only sites use is changed in
// place. Otherwise the sites get a const of their own; a constexpr op that nothing uses any more is
// dropped. A weight whose sum rounds to what it was stays untouched. Each is told to `fused`.
void fuse_adapters(ir::Function& function, const std::vector<ir::Function*>& others,
                   const ir::Catalog& catalog, const std::vector<Adapter>& adapters,
                   const std::function<void(const FusedWeight&)>& fused);

}  // namespace mw::ops
