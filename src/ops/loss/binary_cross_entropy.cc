// mw.binary_cross_entropy: the sum over labels y that count of
//   w y softplus(-x) + (1 - y) softplus(x),  which is  -w y log p - (1 - y) log(1 - p),
// p = sigmoid(x), w = pos_weight; and how many labels count. Labels equal to ignore_index do not.
#include <cmath>

#include "ops/expr.h"
#include "ops/loss/loss.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

std::vector<Type> infer(const OpView& op) {
  expect_float(op, "x");
  expect_shape(op, "labels", op.shape("x"));
  expect_dtype(op, "labels", op.dtype("x"));
  if (op.has("pos_weight")) {
    const Shape shape = op.shape("x"), weight = op.shape("pos_weight");
    const bool fits = weight.empty() || (weight.size() == 1 && !shape.empty() &&
                                         (weight[0] == shape.back() || shape.back() == kAny));
    if (!fits) {
      op.reject("pos_weight", "expected a number, or one for each of the last axis of {}, got {}",
                to_string(shape), to_string(weight));
    }
  }
  const Type scalar = Type::scalar(op.dtype("x"));
  return {scalar, scalar};
}

double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); }

void evaluate(Eval& e) {
  const Tensor &x = e.in("x"), &labels = e.in("labels");
  const auto ignored = static_cast<double>(e.integer("ignore_index"));
  const Tensor weights = e.has("pos_weight") ? e.in("pos_weight") : Tensor::scalar(1.0f);
  double loss = 0;
  int64_t counted = 0;
  for (int64_t i = 0; i < x.count(); ++i) {
    const double y = labels.number_at(i);
    if (y == ignored) continue;
    const double weight = weights.number_at(weights.rank() == 0 ? 0 : i % weights.count());
    loss += weight * y * softplus(-x.number_at(i)) + (1 - y) * softplus(x.number_at(i));
    ++counted;
  }
  e.out(0).set_number(0, loss);
  e.out(1).set_number(0, static_cast<double>(counted));
}

// w y and 1 - y where the label counts, else 0; and 1 where it does.
struct Terms {
  Expr positive, negative, counts;
};

Terms terms_of(Builder& b, const OpView& op) {
  const Expr labels = operand(b, op, "labels");
  const Expr flags = not_equal(labels, static_cast<double>(op.integer("ignore_index")));
  const Expr counts = as_number(flags, labels), y = labels * counts;
  if (!op.has("pos_weight")) return {y, counts - y, counts};
  return {y * operand(b, op, "pos_weight"), counts - y, counts};
}

Expr softplus(const Expr& x) { return x.op("softplus"); }

std::vector<Value*> expand(Builder& b, const OpView& op) {
  const Expr x = operand(b, op, "x");
  const Terms t = terms_of(b, op);
  const Expr losses = t.positive * softplus(-x) + t.negative * softplus(x);
  std::vector<int64_t> axes;
  for (int64_t axis = 0; axis < op.rank("x"); ++axis) axes.push_back(axis);
  if (axes.empty()) return {losses, t.counts};
  return {reduce_sum(losses, axes, false), reduce_sum(t.counts, axes, false)};
}

// (1 - y) sigmoid(x) - w y sigmoid(-x); of w: y softplus(-x)
void rule(Vjp& v) {
  if (v.wants("labels")) {
    fail(ErrorCode::kUnsupported, "labels: expected frozen ones, got some that are trained");
  }
  if (v.grad(0) == nullptr) return;
  const Expr x = operand(v, "x");
  const Terms t = terms_of(v.builder(), v);
  if (v.wants("x")) v.add("x", (t.negative * sigmoid(x) - t.positive * sigmoid(-x)) * grad(v));
  if (v.wants("pos_weight")) v.add("pos_weight", (t.counts - t.negative) * softplus(-x) * grad(v));
}

}  // namespace

OpDef binary_cross_entropy() {
  return OpDef("mw.binary_cross_entropy")
      .types("T", {DType::kF16, DType::kF32})
      .input("x", "T", kExact)
      .input("labels", "T", kNoWeight)
      .input("pos_weight", "T", kConst | kOptional | kNoWeight)
      .input("ignore_index", DType::kI32, kConst | kOptional, kIgnoredLabel)
      .infer(infer)
      .eval(evaluate)
      .expand(expand)
      .vjp(rule);
}

LossValue binary_cross_entropy_of(Builder& b, Value* x, Value* labels,
                                  const std::vector<float>& pos_weight) {
  std::vector<Argument> arguments = {{"x", x}, {"labels", labels}};
  if (!pos_weight.empty()) {
    const auto count = static_cast<int64_t>(pos_weight.size());
    Tensor weights(x->type.dtype(), count == 1 ? Shape{} : Shape{count});
    for (int64_t i = 0; i < count; ++i) weights.set_number(i, pos_weight[static_cast<size_t>(i)]);
    arguments.emplace_back("pos_weight", b.constant(Constant::tensor(weights), "pos_weight"));
  }
  const auto results = b.op_results("mw.binary_cross_entropy", arguments, "loss");
  return {results[0], results[1]};
}

}  // namespace mw::ops
