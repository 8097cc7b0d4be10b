// mw.linear_cross_entropy: how its matrices lie and what it gives, for its reference and its
// kernel.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "ir/op_view.h"

namespace mw::ops {

// Logits [rows, classes] = x [rows, depth] times the weight.
struct HeadSizes {
  int64_t rows = 0, classes = 0, depth = 0;
  int64_t at_once = 0;        // rows of logits that are in memory at once; at least 1
  bool outputs_first = true;  // the weight is [classes, depth]; else [depth, classes]
};
// Types are static.
HeadSizes head_sizes_of(const ir::OpView& op);

// Inputs that it gives gradients of, in the order of these results.
inline constexpr std::array<std::string_view, 3> kHeadInputs = {"x", "weight", "bias"};
// The flag that asks for one: "x_grad".
std::string head_flag(std::string_view input);
// The result with the gradient of an input; nothing where it was not asked for.
std::optional<size_t> head_gradient(const ir::OpView& op, std::string_view input);

}  // namespace mw::ops
