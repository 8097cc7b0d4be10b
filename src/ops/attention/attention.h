// mw.scaled_attention_gradient: which gradients it gives, for its reference and its kernel.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "ir/op_view.h"

namespace mw::ops {

// Inputs that it gives gradients of, in the order of its results.
inline constexpr std::array<std::string_view, 4> kHeadOperands = {"query", "key", "value",
                                                                  "attn_mask"};
// The result with the gradient of an input; nothing where it was not asked for.
std::optional<size_t> attention_gradient_result(const ir::OpView& op, std::string_view input);

}  // namespace mw::ops
