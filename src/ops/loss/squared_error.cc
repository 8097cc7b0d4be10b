// mw.squared_error: the sum of (x - target)^2, and how many elements there are.
#include "ops/expr.h"
#include "ops/loss/loss.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

std::vector<Type> infer(const OpView& op) {
  expect_float(op, "x");
  expect_shape(op, "target", op.shape("x"));
  expect_dtype(op, "target", op.dtype("x"));
  const Type scalar = Type::scalar(op.dtype("x"));
  return {scalar, scalar};
}

void evaluate(Eval& e) {
  const Tensor &x = e.in("x"), &target = e.in("target");
  double sum = 0;
  for (int64_t i = 0; i < x.count(); ++i) {
    const double difference = x.number_at(i) - target.number_at(i);
    sum += difference * difference;
  }
  e.out(0).set_number(0, sum);
  e.out(1).set_number(0, static_cast<double>(x.count()));
}

std::vector<Value*> expand(Builder& b, const OpView& op) {
  const Expr x(b, op.operand("x").value), target(b, op.operand("target").value);
  return {sum_of_squares(x - target),
          filled(b, Type::scalar(op.dtype("x")), static_cast<double>(count_of(op.shape("x"))))};
}

void rule(Vjp& v) {
  if (v.grad(0) == nullptr) return;
  const Expr gradient = (operand(v, "x") - operand(v, "target")) * (grad(v) * 2.0);
  v.add("x", gradient);
  if (v.wants("target")) v.add("target", -gradient);
}

}  // namespace

OpDef squared_error() {
  return OpDef("mw.squared_error")
      .types("T", {DType::kF16, DType::kF32})
      .input("x", "T", kExact)
      .input("target", "T", kNoWeight)
      .infer(infer)
      .eval(evaluate)
      .expand(expand)
      .vjp(rule);
}

LossValue squared_error_of(Builder& b, Value* x, Value* target) {
  const auto results = b.op_results("mw.squared_error", {{"x", x}, {"target", target}}, "loss");
  return {results[0], results[1]};
}

}  // namespace mw::ops
