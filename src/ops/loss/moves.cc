// Moves are followed by the types of their operands; a transposition by its permutation, too.
#include "ops/loss/moves.h"

#include <algorithm>
#include <array>

namespace mw::ops {
namespace {

constexpr std::array<std::string_view, 5> kReshapes = {"reshape", "reshape_like", "squeeze",
                                                       "expand_dims", "flatten2d"};

constexpr std::array<std::string_view, 9> kPicks = {
    "slice_by_index", "slice_by_size", "split",   "gather",         "gather_along_axis",
    "gather_nd",      "tile",          "reverse", "sliding_windows"};

bool is_one_of(const Operation& op, const auto& types) {
  return std::find(types.begin(), types.end(), op.type) != types.end();
}

bool is_reshape(const Operation& op) { return is_one_of(op, kReshapes); }
bool is_transposition(const Operation& op) { return op.type == "transpose"; }

std::vector<int64_t> permutation_of(const Operation& op) {
  const Input* input = op.find_input("perm");
  const ConstantPtr perm = input == nullptr ? nullptr : constant_of(input->operands[0]);
  std::vector<int64_t> axes;
  if (perm == nullptr) return axes;
  const auto rank = static_cast<int64_t>(op.outputs[0]->type.shape().size());
  for (int64_t i = 0; i < perm->value().count(); ++i) {
    const int64_t axis = perm->value().integer_at(i);
    axes.push_back(axis < 0 ? axis + rank : axis);
  }
  return axes;
}

int64_t product_after(const Shape& shape, size_t axis) {
  int64_t product = 1;
  for (size_t i = axis + 1; i < shape.size(); ++i) product *= shape[i];
  return product;
}

}  // namespace

bool moves_elements(const Operation& op) {
  if (op.outputs.size() != 1 || op.input("x") == nullptr) return false;
  const Type &from = op.input("x")->type, &to = op.outputs[0]->type;
  if (!from.is_tensor() || !to.is_tensor() || !from.is_static() || !to.is_static()) return false;
  if (op.type == kCastOp) return is_float(from.dtype()) && is_float(to.dtype());
  if (is_transposition(op)) return permutation_of(op).size() == from.shape().size();
  return op.type == "identity" || is_reshape(op);
}

bool picks_elements(const Operation& op) { return is_one_of(op, kPicks); }

Value* behind_moves(Value* value, std::vector<const Operation*>* moves) {
  const auto begin = moves == nullptr ? 0 : static_cast<std::ptrdiff_t>(moves->size());
  while (value->producer != nullptr && moves_elements(*value->producer)) {
    if (moves != nullptr) moves->push_back(value->producer);
    value = value->producer->input("x");
  }
  if (moves != nullptr) std::reverse(moves->begin() + begin, moves->end());
  return value;
}

std::optional<int64_t> axis_after(const Operation& move, int64_t axis) {
  if (is_transposition(move)) {
    const std::vector<int64_t> perm = permutation_of(move);
    const auto found = std::find(perm.begin(), perm.end(), axis);
    if (found == perm.end()) return std::nullopt;
    return found - perm.begin();
  }
  if (!is_reshape(move)) return axis;
  const Shape &from = move.input("x")->type.shape(), &to = move.outputs[0]->type.shape();
  const auto at = static_cast<size_t>(axis);
  for (size_t i = 0; i < to.size(); ++i) {
    if (to[i] == from[at] && product_after(to, i) == product_after(from, at)) {
      return static_cast<int64_t>(i);
    }
  }
  return std::nullopt;
}

std::optional<int64_t> axis_after(const std::vector<const Operation*>& moves,
                                  std::optional<int64_t> axis) {
  for (const Operation* move : moves) {
    if (axis) axis = axis_after(*move, *axis);
  }
  return axis;
}

Value* moved_alike(Builder& b, Value* x, const std::vector<const Operation*>& moves, int64_t axis) {
  Expr moved(b, x);
  const int64_t extent = x->type.shape()[static_cast<size_t>(axis)];
  for (const Operation* move : moves) {
    axis = axis_after(*move, axis).value();
    if (is_transposition(*move)) {
      moved = transpose(moved, permutation_of(*move));
    } else if (is_reshape(*move)) {
      Shape shape = move->outputs[0]->type.shape();
      shape[static_cast<size_t>(axis)] = extent;
      moved = reshape(moved, shape);
    }
  }
  return moved;
}

Value* moved_alike(Builder& b, Value* x, const std::vector<const Operation*>& moves) {
  Expr moved(b, x);
  for (const Operation* move : moves) {
    if (is_transposition(*move)) {
      moved = transpose(moved, permutation_of(*move));
    } else if (is_reshape(*move)) {
      moved = reshape(moved, move->outputs[0]->type.shape());
    }
  }
  return moved;
}

}  // namespace mw::ops
