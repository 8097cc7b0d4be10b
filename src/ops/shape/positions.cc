// position_sum(): through concat, additions of numbers, and changes of shape.
#include "ops/shape/positions.h"

namespace mw::ops {
namespace {

constexpr int kMaxDepth = 16;

PositionSum sum_of(const Operand& operand, int64_t index, int depth);

bool is_vector(const Operand& operand) {
  const Type& type = operand.value != nullptr ? operand.value->type : operand.literal->type();
  return type.is_tensor() && type.is_static() && type.rank() <= 1 && is_integer(type.dtype());
}

int64_t count_in(const Operand& operand) {
  const Type& type = operand.value != nullptr ? operand.value->type : operand.literal->type();
  return count_of(type.shape());
}

PositionSum in_concat(const Operation& op, const PositionSum& otherwise, int depth) {
  const Input* values = op.find_input("values");
  const ir::ConstantPtr interleave = op.find_input("interleave") != nullptr
                                         ? ir::constant_of(op.find_input("interleave")->operands[0])
                                         : nullptr;
  if (interleave != nullptr && interleave->value().integer_at(0) != 0) return otherwise;
  int64_t at = otherwise.index;
  for (const Operand& part : values->operands) {
    if (!is_vector(part)) return otherwise;
    const int64_t count = count_in(part);
    if (at < count) return sum_of(part, at, depth);
    at -= count;
  }
  return otherwise;
}

PositionSum in_sum(const Operation& op, int sign, const PositionSum& otherwise, int depth) {
  const Operand &x = op.find_input("x")->operands[0], &y = op.find_input("y")->operands[0];
  if (!is_vector(x) || !is_vector(y)) return otherwise;
  PositionSum a = sum_of(x, count_in(x) == 1 ? 0 : otherwise.index, depth);
  PositionSum b = sum_of(y, count_in(y) == 1 ? 0 : otherwise.index, depth);
  if (sign > 0 && a.is_number()) std::swap(a, b);
  if (!b.is_number()) {
    if (sign > 0 || !a.goes_with(b)) return otherwise;
    return {nullptr, 0, a.offset - b.offset};
  }
  a.offset += sign * b.offset;
  return a;
}

PositionSum sum_of(const Operand& operand, int64_t index, int depth) {
  if (const ir::ConstantPtr constant = ir::constant_of(operand)) {
    if (!is_vector(operand) || index >= count_in(operand)) return {operand.value, index, 0};
    return {nullptr, 0, constant->value().integer_at(index)};
  }
  const PositionSum itself{operand.value, index, 0};
  const Operation* op = operand.value->producer;
  if (op == nullptr || depth == 0 || !is_vector(operand)) return itself;
  if (op->type == "concat") return in_concat(*op, itself, depth - 1);
  if (op->type == "add") return in_sum(*op, 1, itself, depth - 1);
  if (op->type == "sub") return in_sum(*op, -1, itself, depth - 1);
  for (const char* reshaping : {"expand_dims", "squeeze", "reshape", "identity"}) {
    if (op->type != reshaping) continue;
    const Operand& x = op->find_input("x")->operands[0];
    return is_vector(x) ? sum_of(x, index, depth - 1) : itself;
  }
  return itself;
}

}  // namespace

PositionSum position_sum(const Operand& operand, int64_t index) {
  return sum_of(operand, index, kMaxDepth);
}

}  // namespace mw::ops
