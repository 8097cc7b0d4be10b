// Convolutions whose window is one element, as products of rows: weights stay as they are stored.
#pragma once

#include <memory>
#include <optional>

#include "plan/claim.h"

namespace mw::cpu {

// y[i, :, p] = f(w x[i, :, p] + bias): the op's operand `x` [n, k, *d], y [n, outputs, *d].
struct Pointwise {
  int64_t outputs = 0;
  plan::Weight weight;
  bool weight_by_output = true;  // the weight is [outputs, k, ..]; else [k, outputs, ..]
  std::optional<Tensor> bias;
};

// Null where a library does better: for weights of fp32, for images, and for those of fp16 and bf16
// that are few and have many rows. Otherwise the result has its channels last in memory.
std::unique_ptr<plan::Kernel> make_pointwise(plan::Claim& claim, Pointwise pointwise);

}  // namespace mw::cpu
