// range_of(): between which numbers all elements of a value lie, as far as its ops tell.
#pragma once

#include <limits>

#include "ops/support.h"

namespace mw::ops {

struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  [[nodiscard]] bool within(double from, double to) const { return low >= from && high <= to; }
};

// Follows activations, sums, products and whatever takes elements out of tensors or puts them
// together; anything else may hold any number. Rounding is left out of account.
Range range_of(const Value* value);

}  // namespace mw::ops
