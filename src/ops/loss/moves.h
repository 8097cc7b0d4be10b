// Operations that leave every element as it is and only say where it lies, and casts between
// floats: what may stand between an activation and an output.
#pragma once

#include <optional>
#include <vector>

#include "ops/expr.h"

namespace mw::ops {

// Whether the only result of `op` holds the elements of its input `x`, each once.
bool moves_elements(const Operation& op);
// The value behind all such operations; they are added to `moves`, the first to run first.
Value* behind_moves(Value* value, std::vector<const Operation*>* moves = nullptr);
// Whether every element of the result is one of `x`, some of them maybe never or more than once.
bool picks_elements(const Operation& op);
// Where the axis of an operand lies in the result; nothing where it was cut or merged.
std::optional<int64_t> axis_after(const Operation& move, int64_t axis);
std::optional<int64_t> axis_after(const std::vector<const Operation*>& moves,
                                  std::optional<int64_t> axis);
// `x` moved in the same way. Types are static.
Value* moved_alike(Builder& b, Value* x, const std::vector<const Operation*>& moves);
// The same of an `x` that has another extent than what they moved along `axis`, which axis_after()
// finds behind all of them.
Value* moved_alike(Builder& b, Value* x, const std::vector<const Operation*>& moves, int64_t axis);

}  // namespace mw::ops
