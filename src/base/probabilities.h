// hold_probabilities(): whether numbers can be told from logits by what they are.
#pragma once

#include "millwright/tensor.hpp"

namespace mw {

// Whether all numbers along `axis`, which has several, lie between 0 and 1 and sum up to 1.
bool hold_probabilities(const Tensor& values, int64_t axis);

}  // namespace mw
