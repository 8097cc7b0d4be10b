// linear: y = x * transposed(weight) + bias over the last axis of x. Weight and bias of another
// dtype are converted to that of x.
#include "ops/expr.h"
#include "ops/matmul/contract.h"
#include "ops/matmul/thin.h"

namespace mw::ops {
namespace {

Type infer(const OpView& op) {
  expect_product_dtype(op, "x");
  expect_product_dtype(op, "weight");
  const Type x = op.tensor_type("x");
  if (x.rank() == 0) op.reject("x", "expected rank 1 or more, got shape []");
  expect_rank(op, "weight", 2, 2);
  expect_shape(op, "weight", {kAny, x.shape().back()});
  Shape shape = x.shape();
  shape.back() = op.shape("weight")[0];
  if (op.has("bias")) {
    expect_product_dtype(op, "bias");
    expect_shape(op, "bias", {shape.back()});
    if (shape.back() == kAny) shape.back() = op.shape("bias")[0];
  }
  return Type::tensor(x.dtype(), shape);
}

template <class T>
void add_to_rows(const Tensor& bias, Tensor& y) {
  const T* b = bias.data<T>();
  T* element = y.mutable_data<T>();
  const int64_t width = bias.count(), rows = y.count() / width;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t j = 0; j < width; ++j, ++element) *element = static_cast<T>(*element + b[j]);
  }
}

void evaluate(Eval& e) {
  const Tensor& x = e.in("x");
  Tensor& y = e.out();
  if (y.count() == 0) return;
  const Tensor weight = e.in("weight").to(x.dtype());
  const int64_t rows = count_of({x.shape().begin(), x.shape().end() - 1});
  const int64_t depth = x.dim(-1), width = y.dim(-1);
  Contraction c;
  c.x_m = offsets(rows, depth);
  c.x_k = offsets(depth, 1);
  c.w_k = offsets(depth, 1);
  c.w_n = offsets(width, depth);
  c.y_m = offsets(rows, width);
  c.y_n = offsets(width, 1);
  contract(c, x, weight, y);
  if (!e.has("bias")) return;
  const Tensor bias = e.in("bias").to(x.dtype());
  switch (x.dtype()) {
    case DType::kF32:
      return add_to_rows<float>(bias, y);
    case DType::kF64:
      return add_to_rows<double>(bias, y);
    default:
      return add_to_rows<int32_t>(bias, y);
  }
}

void rule(Vjp& v) {
  const Expr g = grad(v), x = operand(v, "x");
  if (v.wants("x")) v.add("x", matmul(g, operand_as(v, "weight", g)));
  if (v.wants("weight")) {
    const int64_t depth = x.shape().back(), width = g.shape().back();
    const int64_t rows = count_of({x.shape().begin(), x.shape().end() - 1});
    const Expr g_rows = reshape(g, {rows, width}), x_rows = reshape(x, {rows, depth});
    contribute(v, "weight", matmul(g_rows, x_rows, true, false));
  }
  contribute(v, "bias", g);
}

}  // namespace

OpDef linear() {
  return OpDef("linear")
      .types("T", {DType::kF16, DType::kF32, DType::kI32})
      .input("x", "T", kFactor)
      .input("weight", "T", kConst | kWeight | kFactor)
      .input("bias", "T", kConst | kOptional | kWeight | kBias)
      .since(
          Opset::kIos17,
          [](OpDef& def) {
            def.types("U", {DType::kF16, DType::kF32, DType::kI32}).retype({"weight", "bias"}, "U");
          })
      .infer(infer)
      .eval(evaluate)
      .vjp(rule)
      .adapter({.weight = "weight",
                .data = "x",
                .product = thin_from_right,
                .rows = rows_of_matrix,
                .outputs_axis = outputs_axis_from_right,
                .bias = "bias"});
}

}  // namespace mw::ops
