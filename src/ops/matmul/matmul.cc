// matmul: batched matrix product with NumPy's broadcasting and rank-1 operands.
#include "ops/expr.h"
#include "ops/known.h"
#include "ops/matmul/contract.h"
#include "ops/matmul/thin.h"

namespace mw::ops {
namespace {

// The two operands as matrices: batch extents apart, rank-1 operands promoted.
struct Factors {
  Shape x_batch, y_batch;
  int64_t m = 1, n = 1, x_k = 0, y_k = 0;
  bool x_is_vector = false, y_is_vector = false, transpose_x = false, transpose_y = false;
};

Factors factors_of(const OpView& op) {
  const Shape x = op.shape("x"), y = op.shape("y");
  Factors f;
  f.x_is_vector = x.size() == 1;
  f.y_is_vector = y.size() == 1;
  f.transpose_x = !f.x_is_vector && op.flag("transpose_x");
  f.transpose_y = !f.y_is_vector && op.flag("transpose_y");
  const size_t rank_x = x.size(), rank_y = y.size();
  f.x_k = f.transpose_x ? x[rank_x - 2] : x[rank_x - 1];
  f.y_k = f.y_is_vector || f.transpose_y ? y[rank_y - 1] : y[rank_y - 2];
  if (!f.x_is_vector) {
    f.m = f.transpose_x ? x[rank_x - 1] : x[rank_x - 2];
    f.x_batch.assign(x.begin(), x.end() - 2);
  }
  if (!f.y_is_vector) {
    f.n = f.transpose_y ? y[rank_y - 2] : y[rank_y - 1];
    f.y_batch.assign(y.begin(), y.end() - 2);
  }
  return f;
}

// A change of precision puts casts behind constants.
bool is_constant(const Operand& operand) {
  if (constant_of(operand) != nullptr) return true;
  const Operation* producer = operand.value == nullptr ? nullptr : operand.value->producer;
  if (producer == nullptr || producer->type != kCastOp) return false;
  const Input* x = producer->find_input("x");
  return x != nullptr && x->operands.size() == 1 && is_constant(x->operands[0]);
}

// Two dtypes may meet when one operand is a constant: it is converted to that of the other.
DType result_dtype(const OpView& op) {
  expect_product_dtype(op, "x");
  expect_product_dtype(op, "y");
  const DType x = op.dtype("x"), y = op.dtype("y");
  if (x == y) return x;
  const bool x_const = is_constant(op.operand("x")), y_const = is_constant(op.operand("y"));
  if (x_const == y_const) {
    op.reject("y", "expected dtype {} as x has, got {}", mw::name_of(x), mw::name_of(y));
  }
  return y_const ? x : y;
}

Type infer(const OpView& op) {
  const DType dtype = result_dtype(op);
  for (const char* input : {"x", "y"}) {
    if (op.rank(input) == 0) op.reject(input, "expected rank 1 or more, got shape []");
  }
  const Factors f = factors_of(op);
  if (f.x_k != f.y_k && f.x_k != kAny && f.y_k != kAny) {
    op.reject("y", "expected {} elements along the summed axis as x has, got {} (x {}, y {})",
              f.x_k, f.y_k, to_string(op.shape("x")), to_string(op.shape("y")));
  }
  Shape shape = broadcast(op, "y", f.x_batch, f.y_batch);
  if (!f.x_is_vector) shape.push_back(f.m);
  if (!f.y_is_vector) shape.push_back(f.n);
  return Type::tensor(dtype, shape);
}

void evaluate(Eval& e) {
  const Factors f = factors_of(e);
  Tensor& out = e.out();
  if (out.count() == 0) return;
  const Tensor x = e.in("x").to(out.dtype()), y = e.in("y").to(out.dtype());
  Contraction c;
  c.x_m = offsets(f.m, f.transpose_x ? 1 : f.x_k);
  c.x_k = offsets(f.x_k, f.transpose_x ? f.m : 1);
  c.w_k = offsets(f.x_k, f.transpose_y ? 1 : f.n);
  c.w_n = offsets(f.n, f.transpose_y ? f.x_k : 1);
  c.y_m = offsets(f.m, f.n);
  c.y_n = offsets(f.n, 1);
  const Shape batch = broadcast(e, "y", f.x_batch, f.y_batch);
  c.batches.clear();
  Walk<2> w(batch, {broadcast_strides(f.x_batch, batch), broadcast_strides(f.y_batch, batch)});
  for (; !w.done(); w.next()) {
    c.batches.push_back({w.at(0) * f.m * f.x_k, w.at(1) * f.x_k * f.n, w.flat() * f.m * f.n});
  }
  contract(c, x, y, out);
}

// Where y is one matrix for all batches of x, its gradient is a single product.
Expr gradient_of_shared_y(const Factors& f, const Expr& g, const Expr& x, const Shape& y) {
  const int64_t rows = count_of(f.x_batch) * f.m;
  const Expr g_rows = reshape(g, {rows, f.n}), x_rows = reshape(x, {rows, f.x_k});
  return reshape(f.transpose_y || f.y_is_vector ? matmul(g_rows, x_rows, true, false)
                                                : matmul(x_rows, g_rows, true, false),
                 y);
}

// A vector counts as one row: of x, or of a transposed y.
void rule(Vjp& v) {
  const Factors f = factors_of(v);
  Shape full = broadcast(v, "y", f.x_batch, f.y_batch);
  const bool y_is_shared = count_of(f.y_batch) == 1 && count_of(f.x_batch) == count_of(full);
  full.insert(full.end(), {f.m, f.n});
  const Expr g = reshape(grad(v), full);
  const bool transpose_y = f.transpose_y || f.y_is_vector;
  Expr x = operand_as(v, "x", g), y = operand_as(v, "y", g);
  if (f.x_is_vector) x = reshape(x, {1, f.x_k});
  if (f.y_is_vector) y = reshape(y, {1, f.y_k});
  if (v.wants("x")) {
    contribute(v, "x",
               f.transpose_x ? matmul(y, g, transpose_y, true) : matmul(g, y, false, !transpose_y));
  }
  if (!v.wants("y")) return;
  if (y_is_shared && !f.transpose_x) {
    contribute(v, "y", gradient_of_shared_y(f, g, x, v.shape("y")));
  } else {
    contribute(
        v, "y",
        transpose_y ? matmul(g, x, true, f.transpose_x) : matmul(x, g, !f.transpose_x, false));
  }
}

}  // namespace

OpDef matmul() {
  return OpDef("matmul")
      .types("T", {DType::kF16, DType::kF32, DType::kI32})
      .input("x", "T", kWeight | kFactor)
      .input("y", "T", kWeight | kFactor)
      .input("transpose_x", DType::kBool, kConst | kOptional, false)
      .input("transpose_y", DType::kBool, kConst | kOptional, false)
      .since(Opset::kIos17,
             [](OpDef& def) {
               def.types("U", {DType::kF16, DType::kF32, DType::kI32}).retype({"y"}, "U");
             })
      .infer(infer)
      .eval(evaluate)
      .vjp(rule)
      .adapter({.weight = "y",
                .data = "x",
                .outputs_first = [](const Operation& op) { return says(op, "transpose_y"); },
                .product = thin_from_right,
                .rows = rows_of_matrix,
                .outputs_axis = outputs_axis_from_right})
      .adapter({.weight = "x",
                .data = "y",
                .outputs_first = [](const Operation& op) { return !says(op, "transpose_x"); },
                .product = thin_from_left,
                .rows = rows_of_matrix,
                .outputs_axis = outputs_axis_from_left});
}

}  // namespace mw::ops
