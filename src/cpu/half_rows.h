// Weights of fp16 and bf16 as kernels read compressed ones: widened piece by piece, nowhere whole.
#pragma once

#include <memory>

#include "plan/op_plan.h"

namespace mw::cpu {

// Of rank 1 or more; it keeps the elements alive.
std::shared_ptr<const plan::WeightReader> half_rows(const Tensor& weight);

}  // namespace mw::cpu
