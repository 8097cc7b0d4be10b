// mw.distillation: the sum over labels that count of KL(softmax(teacher / T) || softmax(student /
// T)), and how many labels count.
//
// With `rest` the teacher's likeliest classes are known and no others: `teacher` holds the
// logarithms of their probabilities at T, and 1 for every other class, `rest` [..] the logarithm of
// what those have together. All others count as one class then:
//
//   sum over known k of p_k (log p_k - log q_k) + p_rest (log p_rest - log sum over others of q_i)
//
// which is KL(p || q), and has its gradient q - p, where p spreads p_rest over the others as the
// student does: p_i = p_rest q_i / (sum over others of q).
#include <cmath>
#include <limits>

#include "base/error.h"
#include "ops/expr.h"
#include "ops/loss/loss.h"
#include "ops/loss/rows.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

// Above this stands no logarithm of a probability.
constexpr double kUnknown = 0.5;
// A logit beside which no other one is seen.
constexpr double kNothing = -1e30;

std::vector<Type> infer(const OpView& op) {
  expect_float(op, "student");
  const Shape student = op.shape("student");
  if (student.empty()) op.reject("student", "expected [.., classes], got a scalar");
  expect_shape(op, "teacher", student);
  expect_dtype(op, "teacher", op.dtype("student"));
  const Shape rows(student.begin(), student.end() - 1);
  expect_shape(op, "labels", rows);
  if (op.has("rest")) {
    expect_shape(op, "rest", rows);
    expect_dtype(op, "rest", op.dtype("student"));
  }
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

// The teacher's row, with `rest` spread over the classes that it does not know.
template <class T>
std::vector<double> completed(const T* known, const std::vector<double>& student, double rest) {
  double largest = -std::numeric_limits<double>::infinity(), sum = 0;
  for (size_t i = 0; i < student.size(); ++i) {
    if (known[i] > kUnknown) largest = std::max(largest, student[i]);
  }
  for (size_t i = 0; i < student.size(); ++i) {
    if (known[i] > kUnknown) sum += std::exp(student[i] - largest);
  }
  std::vector<double> all(student.size());
  for (size_t i = 0; i < all.size(); ++i) {
    all[i] = known[i] > kUnknown ? rest + student[i] - largest - std::log(sum) : double{known[i]};
  }
  return all;
}

void evaluate(Eval& e) {
  const Tensor &student = e.in("student"), &teacher = e.in("teacher"), &labels = e.in("labels");
  const Tensor* rest = e.has("rest") ? &e.in("rest") : nullptr;
  const int64_t classes = student.dim(-1), ignored = e.integer("ignore_index");
  const double temperature = e.number("temperature");
  double loss = 0;
  int64_t counted = 0;
  dispatch_float(student.dtype(), [&]<class T>(T) {
    for (int64_t row = 0; row < labels.count(); ++row) {
      if (labels.integer_at(row) == ignored) continue;
      const auto s = log_softmax(student.data<T>() + row * classes, classes, temperature);
      const T* said = teacher.data<T>() + row * classes;
      const auto t = rest != nullptr ? completed(said, s, rest->number_at(row))
                                     : log_softmax(said, classes, temperature);
      for (size_t i = 0; i < s.size(); ++i) loss += std::exp(t[i]) * (t[i] - s[i]);
      ++counted;
    }
  });
  e.out(0).set_number(0, loss);
  e.out(1).set_number(0, static_cast<double>(counted));
}

struct Parts {
  Expr student, teacher, counts;  // logits [n, classes] at T both, [n, 1]
};

// As in evaluate(). Where every class is known nothing is spread, and what the others would be is
// finite.
Expr completed(const Expr& known, const Expr& student, const Expr& rest) {
  const Expr others = known > kUnknown;
  const Expr shifted = shifted_rows(select(others, student, kNothing));
  return select(others, shifted - log_sum_exp_rows(shifted) + rest, known);
}

Parts parts_of(Builder& b, const OpView& op) {
  const double temperature = op.number("temperature");
  const Expr s = as_rows(b, op.operand("student").value) / temperature;
  const Expr said = as_rows(b, op.operand("teacher").value);
  const Expr t = op.has("rest") ? completed(said, s, as_column(b, op.operand("rest").value))
                                : said / temperature;
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
  for (const char* input : {"teacher", "rest"}) {
    if (!v.wants(input)) continue;
    fail(ErrorCode::kUnsupported, "{}: expected a frozen value, got one that is trained", input);
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
      .input("student", "T", kExact)
      .input("teacher", "T", kNoWeight | kExact)
      .input("labels", DType::kI32)
      .input("rest", "T", kOptional | kNoWeight)
      .input("ignore_index", DType::kI32, kConst | kOptional, kIgnoredLabel)
      .input("temperature", DType::kF32, kConst | kOptional, 1.0)
      .infer(infer)
      .eval(evaluate)
      .expand(expand)
      .vjp(rule);
}

LossValue distillation_of(Builder& b, Value* student, const Taught& teacher, Value* labels,
                          double temperature) {
  std::vector<Argument> inputs = {{"student", student},
                                  {"teacher", teacher.classes},
                                  {"labels", labels},
                                  {"temperature", static_cast<float>(temperature)}};
  if (teacher.rest != nullptr) inputs.emplace_back("rest", teacher.rest);
  const auto results = b.op_results("mw.distillation", inputs, "divergence");
  return {results[0], results[1]};
}

}  // namespace mw::ops
