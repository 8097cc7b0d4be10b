// mw.distillation: the sum over labels that count of KL(softmax(teacher / T) || softmax(student /
// T)), and how many labels count.
#include <cmath>

#include "base/error.h"
#include "ops/expr.h"
#include "ops/loss/loss.h"
#include "ops/loss/rows.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

std::vector<Type> infer(const OpView& op) {
  expect_float(op, "student");
  const Shape student = op.shape("student");
  if (student.empty()) op.reject("student", "expected [.., classes], got a scalar");
  expect_shape(op, "teacher", student);
  expect_dtype(op, "teacher", op.dtype("student"));
  expect_shape(op, "labels", Shape(student.begin(), student.end() - 1));
  if (!(op.number("temperature") > 0)) {
    op.reject("temperature", "expected more than 0, got {}", op.number("temperature"));
  }
  const Type scalar = Type::scalar(op.dtype("student"));
  return {scalar, scalar};
}

template <class T>
std::vector<double> log_softmax(const T* x, int64_t count, double temperature) {
  std::vector<double> y(static_cast<size_t>(count));
  double largest = x[0] / temperature, sum = 0;
  for (int64_t i = 0; i < count; ++i) largest = std::max<double>(largest, x[i] / temperature);
  for (int64_t i = 0; i < count; ++i) sum += std::exp(x[i] / temperature - largest);
  for (int64_t i = 0; i < count; ++i) {
    y[static_cast<size_t>(i)] = x[i] / temperature - largest - std::log(sum);
  }
  return y;
}

void evaluate(Eval& e) {
  const Tensor &student = e.in("student"), &teacher = e.in("teacher"), &labels = e.in("labels");
  const int64_t classes = student.dim(-1), ignored = e.integer("ignore_index");
  const double temperature = e.number("temperature");
  double loss = 0;
  int64_t counted = 0;
  dispatch_float(student.dtype(), [&]<class T>(T) {
    for (int64_t row = 0; row < labels.count(); ++row) {
      if (labels.integer_at(row) == ignored) continue;
      const auto s = log_softmax(student.data<T>() + row * classes, classes, temperature);
      const auto t = log_softmax(teacher.data<T>() + row * classes, classes, temperature);
      for (size_t i = 0; i < s.size(); ++i) loss += std::exp(t[i]) * (t[i] - s[i]);
      ++counted;
    }
  });
  e.out(0).set_number(0, loss);
  e.out(1).set_number(0, static_cast<double>(counted));
}

struct Parts {
  Expr student, teacher, counts;  // [n, classes] both divided by T, [n, 1]
};

Parts parts_of(Builder& b, const OpView& op) {
  const double temperature = op.number("temperature");
  const Expr s = as_rows(b, op.operand("student").value) / temperature;
  const Expr t = as_rows(b, op.operand("teacher").value) / temperature;
  const Expr labels = as_column(b, op.operand("labels").value);
  const auto ignored = static_cast<double>(op.integer("ignore_index"));
  return {s, t, as_number(not_equal(labels, ignored), s)};
}

Expr log_softmax(const Expr& x) {
  const Expr shifted = shifted_rows(x);
  return shifted - log_sum_exp_rows(shifted);
}

std::vector<Value*> expand(Builder& b, const OpView& op) {
  const Parts p = parts_of(b, op);
  const Expr s = log_softmax(p.student), t = log_softmax(p.teacher);
  // Row by row first: a plan then never holds more than a few rows of the terms.
  const Expr divergence = reduce_sum(exp(t) * (t - s), {1}, true) * p.counts;
  return {reduce_sum(divergence, {0, 1}, false), reduce_sum(p.counts, {0, 1}, false)};
}

// (softmax(student / T) - softmax(teacher / T)) / T where the label counts. The teacher gets none.
void rule(Vjp& v) {
  if (v.wants("teacher")) {
    fail(ErrorCode::kUnsupported, "teacher: expected a frozen value, got one that is trained");
  }
  if (v.grad(0) == nullptr || !v.wants("student")) return;
  const Parts p = parts_of(v.builder(), v);
  const Expr difference =
      p.student.op("softmax", {{"axis", -1}}) - p.teacher.op("softmax", {{"axis", -1}});
  const Expr weight = grad(v) * p.counts / v.number("temperature");
  v.add("student", reshape(difference * weight, v.shape("student")));
}

}  // namespace

OpDef distillation() {
  return OpDef("mw.distillation")
      .types("T", {DType::kF16, DType::kF32})
      .input("student", "T")
      .input("teacher", "T", kNoWeight)
      .input("labels", DType::kI32)
      .input("ignore_index", DType::kI32, kConst | kOptional, kIgnoredLabel)
      .input("temperature", DType::kF32, kConst | kOptional, 1.0)
      .infer(infer)
      .eval(evaluate)
      .expand(expand)
      .vjp(rule);
}

LossValue distillation_of(Builder& b, Value* student, Value* teacher, Value* labels,
                          double temperature) {
  const auto results = b.op_results("mw.distillation",
                                    {{"student", student},
                                     {"teacher", teacher},
                                     {"labels", labels},
                                     {"temperature", static_cast<float>(temperature)}},
                                    "divergence");
  return {results[0], results[1]};
}

}  // namespace mw::ops
