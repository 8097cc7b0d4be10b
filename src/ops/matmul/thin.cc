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

Value* rows_of_matrix(Builder& builder, Value* matrix, Value* a, bool outputs_first) {
  const Expr rows(builder, a);
  return outputs_first ? rows.op("linear", {{"weight", matrix}}) : matmul(rows, {builder, matrix});
}

int64_t outputs_axis_from_right(const Operation& op, bool swapped) {
  const int64_t last = op.outputs[0]->type.rank() - 1;
  if (!swapped) return last;
  const int64_t rank = op.input("x")->type.rank();
  return says(op, "transpose_x") && rank > 1 ? rank - 2 : rank - 1;
}

int64_t outputs_axis_from_left(const Operation& op, bool swapped) {
  const int64_t rank = op.input("y")->type.rank();
  if (!swapped) return op.outputs[0]->type.rank() - (rank > 1 ? 2 : 1);
  return says(op, "transpose_y") || rank == 1 ? rank - 1 : rank - 2;
}

}  // namespace mw::ops
