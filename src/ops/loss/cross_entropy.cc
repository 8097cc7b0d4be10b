// mw.cross_entropy: the sum over labels that count of
//   -(1 - s) log p[label] - s / V sum(log p),  p = softmax(logits),  s = label_smoothing,
// and how many labels count. Labels equal to ignore_index do not.
#include <cmath>

#include "ops/expr.h"
#include "ops/loss/loss.h"
#include "ops/loss/rows.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

std::vector<Type> infer(const OpView& op) {
  expect_float(op, "logits");
  const Shape logits = op.shape("logits");
  if (logits.empty()) op.reject("logits", "expected [.., classes], got a scalar");
  expect_shape(op, "labels", Shape(logits.begin(), logits.end() - 1));
  const double smoothing = op.number("label_smoothing");
  if (!(smoothing >= 0 && smoothing < 1)) {
    op.reject("label_smoothing", "expected a number in [0, 1), got {}", smoothing);
  }
  const Type scalar = Type::scalar(op.dtype("logits"));
  return {scalar, scalar};
}

template <class T>
double log_sum_exp(const T* x, int64_t count) {
  double largest = x[0];
  for (int64_t i = 1; i < count; ++i) largest = std::max<double>(largest, x[i]);
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += std::exp(x[i] - largest);
  return largest + std::log(sum);
}

void evaluate(Eval& e) {
  const Tensor& logits = e.in("logits");
  const Tensor& labels = e.in("labels");
  const int64_t classes = logits.dim(-1), ignored = e.integer("ignore_index");
  const double smoothing = e.number("label_smoothing");
  double loss = 0;
  int64_t counted = 0;
  dispatch_float(logits.dtype(), [&]<class T>(T) {
    for (int64_t row = 0; row < labels.count(); ++row) {
      const int64_t label = labels.integer_at(row);
      if (label == ignored) continue;
      if (label < 0 || label >= classes) {
        e.reject("labels", "expected values in [0, {}) or {}, got {}", classes, ignored, label);
      }
      const T* x = logits.data<T>() + row * classes;
      const double lse = log_sum_exp(x, classes);
      double mean = 0;
      for (int64_t i = 0; i < classes && smoothing > 0; ++i) mean += x[i];
      loss += lse - (1 - smoothing) * x[label] - smoothing * mean / static_cast<double>(classes);
      ++counted;
    }
  });
  e.out(0).set_number(0, loss);
  e.out(1).set_number(0, static_cast<double>(counted));
}

struct Rows {
  Expr logits, labels, counts;  // [n, classes], [n, 1] with ignored ones at 0, [n, 1]
};

Rows rows_of(Builder& b, Value* logits, Value* labels, int64_t ignored) {
  const Expr x = as_rows(b, logits), column = as_column(b, labels);
  const Expr counts = not_equal(column, static_cast<double>(ignored));
  return {x, column * as_number(counts, column), as_number(counts, x)};
}

std::vector<Value*> expand(Builder& b, const OpView& op) {
  const Rows r = rows_of(b, op.operand("logits").value, op.operand("labels").value,
                         op.integer("ignore_index"));
  const double smoothing = op.number("label_smoothing");
  const Expr shifted = shifted_rows(r.logits), lse = log_sum_exp_rows(shifted);
  const Expr picked = shifted.op("gather_along_axis", {{"indices", r.labels.value()}, {"axis", 1}});
  Expr losses = lse - picked;
  if (smoothing > 0) {
    const Expr mean =
        shifted.op("reduce_mean", {{"axes", std::vector<int64_t>{1}}, {"keep_dims", true}});
    losses = lse - picked * (1 - smoothing) - mean * smoothing;
  }
  return {reduce_sum(losses * r.counts, {0, 1}, false), reduce_sum(r.counts, {0, 1}, false)};
}

void rule(Vjp& v) {
  if (v.grad(0) == nullptr || !v.wants("logits")) return;
  const ClassRows rows{operand(v, "logits"), operand(v, "labels"), v.integer("ignore_index"),
                       v.number("label_smoothing")};
  v.add("logits", reshape(cross_entropy_slope(rows, grad(v)), v.shape("logits")));
}

}  // namespace

// (p - (1 - s) onehot(label) - s / V) where the label counts.
Expr cross_entropy_slope(const ClassRows& rows, const std::optional<Expr>& factor) {
  Builder& b = rows.logits.builder();
  const Rows r = rows_of(b, rows.logits, rows.labels, rows.ignored);
  const Expr weight = factor ? *factor * r.counts : r.counts;
  Expr p = r.logits.op("softmax", {{"axis", -1}});
  if (rows.smoothing > 0) p = p - rows.smoothing / static_cast<double>(r.logits.shape()[1]);
  const Expr gradient = p * weight;
  return {b, b.op("scatter_along_axis", {{"data", gradient.value()},
                                         {"indices", r.labels.value()},
                                         {"updates", (weight * (rows.smoothing - 1)).value()},
                                         {"axis", 1},
                                         {"mode", "add"}})};
}

OpDef cross_entropy() {
  return OpDef("mw.cross_entropy")
      .types("T", {DType::kF16, DType::kF32})
      .input("logits", "T", kExact)
      .input("labels", DType::kI32)
      .input("ignore_index", DType::kI32, kConst | kOptional, kIgnoredLabel)
      .input("label_smoothing", DType::kF32, kConst | kOptional, 0.0)
      .infer(infer)
      .eval(evaluate)
      .expand(expand)
      .vjp(rule);
}

LossValue cross_entropy_of(Builder& b, Value* logits, Value* labels, double smoothing) {
  const auto results = b.op_results(
      "mw.cross_entropy",
      {{"logits", logits}, {"labels", labels}, {"label_smoothing", static_cast<float>(smoothing)}},
      "loss");
  return {results[0], results[1]};
}

}  // namespace mw::ops
