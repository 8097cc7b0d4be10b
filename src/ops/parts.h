// parts_of(): which positions of its operands an op needs for one position of its results.
//
//   y = softmax(x [1, T, V], axis = 2)      axis 1: of x the same position along axis 1
//   y = transpose(x, perm = [0, 2, 1])      axis 1: of x the same position along axis 2
//   y = matmul(x [h, T, d], y [h, d, n])    axis 1: of x along axis 1, and all of y
//   y = cumsum(x, axis = 1)                 axis 1: nothing; its positions are not independent
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ir/op_view.h"

namespace mw::ops {

// What suffices for one position of the results of an op: of some operands the same position along
// an axis, which stays with an extent of 1, and the others as they are.
struct Apart {
  struct Part {
    std::string input;  // each operand of it
    int64_t axis = 0;
    bool operator==(const Part&) const = default;
  };
  // An element of an input that says how many positions there are; it is to be 1.
  struct Extent {
    std::string input;
    int64_t index = 0;
    bool operator==(const Extent&) const = default;
  };
  std::vector<Part> parts;
  std::optional<Extent> extent;
  bool operator==(const Apart&) const = default;
};

// Of an op whose types are static, along an axis of its results with an extent of at least 2.
// nullopt: its positions depend on each other, or nobody has said that they do not.
std::optional<Apart> parts_of(const ir::OpView& op, int64_t axis);

// Whether there is a rule for the op besides that of elementwise ones.
bool has_rule_of_parts(const std::string& op);

}  // namespace mw::ops
