// What is known of single positions of an index vector that only a run knows as a whole.
#pragma once

#include <cstdint>

#include "ops/support.h"

namespace mw::ops {

// Element `index` of `value` plus `offset`; the number `offset` itself where there is no value.
struct PositionSum {
  const Value* value = nullptr;
  int64_t index = 0;
  int64_t offset = 0;

  [[nodiscard]] bool is_number() const { return value == nullptr; }
  // Whether both are of the same element: then their distance is that of the offsets.
  [[nodiscard]] bool goes_with(const PositionSum& other) const {
    return value == other.value && index == other.index;
  }
};

// Element `index` of a vector of integers (or, at index 0, of a number), looked at through what
// puts vectors together and adds numbers to positions.
PositionSum position_sum(const Operand& operand, int64_t index);

}  // namespace mw::ops
