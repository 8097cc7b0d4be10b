// Two products in place of one, the thin one first.
#include "ops/matmul/thin.h"

#include "ops/expr.h"
#include "ops/known.h"

namespace mw::ops {

Value* thin_from_right(Builder& builder, const Operation& op, Value* a, Value* b, bool swapped) {
  const Expr x(builder, op.input("x"));
  const bool transposed = says(op, "transpose_x");
  if (swapped) {
    return matmul(matmul(x, {builder, b}, transposed, false), {builder, a}, false, false);
  }
  const Expr thin =
      transposed ? matmul(x, {builder, a}, true, true) : x.op("linear", {{"weight", a}});
  return thin.op("linear", {{"weight", b}});
}

Value* thin_from_left(Builder& builder, const Operation& op, Value* a, Value* b, bool swapped) {
  const Expr y(builder, op.input("y")), first(builder, a), second(builder, b);
  const bool transposed = says(op, "transpose_y");
  if (swapped) return matmul(first, matmul(second, y, true, transposed), true, false);
  return matmul(second, matmul(first, y, false, transposed), false, false);
}

}  // namespace mw::ops
