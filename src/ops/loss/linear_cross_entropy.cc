// mw.linear_cross_entropy: mw.cross_entropy of the logits x weight + bias, `rows_at_once` rows at a
// time, so that the logits are never whole.
//
// The gradients of the sum in x, weight and bias depend on the row's own logits alone but for a
// factor, so they are results as well where they are asked for: the logits of a row are there once,
// become their slope, p - onehot(label), in place, and go into both products of the backward pass;
// where `rounds_slope` says so, rounded to bf16.
#include "ops/loss/linear_cross_entropy.h"

#include <cmath>

#include "base/half.h"
#include "ops/expr.h"
#include "ops/loss/loss.h"
#include "ops/loss/rows.h"
#include "ops/matmul/contract.h"
#include "ops/support.h"

namespace mw::ops {

std::string head_flag(std::string_view input) { return std::string(input) + "_grad"; }

HeadSizes head_sizes_of(const OpView& op) {
  const Shape x = op.shape("x"), weight = op.shape("weight");
  HeadSizes sizes;
  sizes.outputs_first = op.flag("outputs_first");
  sizes.depth = x.back();
  sizes.rows = count_of({x.begin(), x.end() - 1});
  sizes.classes = weight[sizes.outputs_first ? 0 : 1];
  const int64_t asked = op.integer("rows_at_once");
  sizes.at_once = std::max<int64_t>(asked == 0 ? sizes.rows : std::min(asked, sizes.rows), 1);
  return sizes;
}

std::optional<size_t> head_gradient(const OpView& op, std::string_view input) {
  size_t result = 2;
  for (const std::string_view each : kHeadInputs) {
    const bool asked = op.has(each) && op.flag(head_flag(each));
    if (each == input) return asked ? std::optional(result) : std::nullopt;
    if (asked) ++result;
  }
  return std::nullopt;
}

namespace {

Argument argument_of(std::string_view input, const Operand& operand) {
  return operand.value != nullptr ? Argument(input, operand.value)
                                  : Argument(input, operand.literal);
}

void expect_matrix(const OpView& op) {
  const Shape x = op.shape("x"), weight = op.shape("weight");
  if (x.empty()) op.reject("x", "expected [.., inputs], got a scalar");
  if (weight.size() < 2) op.reject("weight", "expected a matrix, got shape {}", to_string(weight));
  for (size_t axis = 2; axis < weight.size(); ++axis) {
    if (weight[axis] == 1) continue;
    op.reject("weight", "expected extents of 1 behind a matrix, got shape {}", to_string(weight));
  }
  const int64_t depth = weight[op.flag("outputs_first") ? 1 : 0];
  if (depth != kAny && x.back() != kAny && depth != x.back()) {
    op.reject("weight", "expected {} inputs as x has, got shape {}", x.back(), to_string(weight));
  }
}

std::vector<Type> infer(const OpView& op) {
  expect_float(op, "x");
  expect_dtype(op, "weight", op.dtype("x"));
  expect_matrix(op);
  const Shape x = op.shape("x");
  expect_shape(op, "labels", Shape(x.begin(), x.end() - 1));
  if (op.has("bias")) {
    expect_dtype(op, "bias", op.dtype("x"));
    expect_shape(op, "bias", {op.shape("weight")[op.flag("outputs_first") ? 0 : 1]});
  }
  const double smoothing = op.number("label_smoothing");
  if (!(smoothing >= 0 && smoothing < 1)) {
    op.reject("label_smoothing", "expected a number in [0, 1), got {}", smoothing);
  }
  if (op.integer("rows_at_once") < 0) {
    op.reject("rows_at_once", "expected 0 or more, got {}", op.integer("rows_at_once"));
  }
  const Type scalar = Type::scalar(op.dtype("x"));
  std::vector<Type> types{scalar, scalar};
  for (const std::string_view input : kHeadInputs) {
    if (head_gradient(op, input)) types.push_back(op.tensor_type(input));
  }
  return types;
}

// --- reference ---

template <class T>
class Reference {
 public:
  explicit Reference(Eval& e)
      : e_(e),
        sizes_(head_sizes_of(e)),
        smoothing_(e.number("label_smoothing")),
        rounds_(e.flag("rounds_slope")),
        x_(e.in("x").data<T>()),
        weight_(e.in("weight").data<T>()),
        bias_(e.has("bias") ? e.in("bias").data<T>() : nullptr),
        x_grad_(head_gradient(e, "x")),
        weight_grad_(head_gradient(e, "weight")),
        bias_grad_(head_gradient(e, "bias")) {
    if (weight_grad_) weight_sums_.resize(static_cast<size_t>(sizes_.classes * sizes_.depth));
    if (bias_grad_) bias_sums_.resize(static_cast<size_t>(sizes_.classes));
  }

  void run() {
    find_rows();
    for (size_t begin = 0; begin < rows_.size(); begin += at_once()) {
      one_chunk(begin, std::min(rows_.size(), begin + at_once()));
    }
    e_.out(0).set_number(0, loss_);
    e_.out(1).set_number(0, static_cast<double>(rows_.size()));
    if (weight_grad_) write(weight_sums_, *weight_grad_);
    if (bias_grad_) write(bias_sums_, *bias_grad_);
  }

 private:
  [[nodiscard]] size_t at_once() const { return static_cast<size_t>(sizes_.at_once); }

  void find_rows() {
    const Tensor& labels = e_.in("labels");
    const int64_t ignored = e_.integer("ignore_index");
    for (int64_t row = 0; row < sizes_.rows; ++row) {
      const int64_t label = labels.integer_at(row);
      if (label == ignored) continue;
      if (label < 0 || label >= sizes_.classes) {
        e_.reject("labels", "expected values in [0, {}) or {}, got {}", sizes_.classes, ignored,
                  label);
      }
      rows_.push_back(row);
      labels_.push_back(label);
    }
  }

  void one_chunk(size_t begin, size_t end) {
    const auto m = static_cast<int64_t>(end - begin), n = sizes_.classes, k = sizes_.depth;
    std::vector<int64_t> at;
    for (size_t i = begin; i < end; ++i) at.push_back(rows_[i] * k);
    const std::vector<int64_t> inputs = offsets(k, sizes_.outputs_first ? 1 : n),
                               outputs = offsets(n, sizes_.outputs_first ? k : 1);
    std::vector<T> logits(static_cast<size_t>(m * n));
    Contraction c;
    c.x_m = at, c.x_k = offsets(k, 1);
    c.w_k = inputs, c.w_n = outputs;
    c.y_m = offsets(m, n), c.y_n = offsets(n, 1);
    contract(c, x_, weight_, logits.data());
    for (int64_t i = 0; i < m; ++i) {
      one_row(logits.data() + i * n, labels_[begin + static_cast<size_t>(i)]);
    }
    if (x_grad_) {
      c.x_m = offsets(m, n), c.x_k = offsets(n, 1);
      c.w_k = outputs, c.w_n = inputs;
      c.y_m = at, c.y_n = offsets(k, 1);
      contract(c, logits.data(), weight_, e_.out(*x_grad_).template mutable_data<T>());
    }
    if (weight_grad_) {
      std::vector<double> part(weight_sums_.size());
      c.x_m = offsets(n, 1), c.x_k = offsets(m, n);
      c.w_k = at, c.w_n = offsets(k, 1);
      c.y_m = outputs, c.y_n = inputs;
      contract(c, logits.data(), x_, part.data());
      for (size_t i = 0; i < part.size(); ++i) weight_sums_[i] += part[i];
    }
    for (size_t i = 0; bias_grad_ && i < logits.size(); ++i) {
      bias_sums_[i % bias_sums_.size()] += logits[i];
    }
  }

  // Logits without bias become the gradient of the row's loss in them.
  void one_row(T* logits, int64_t label) {
    const int64_t n = sizes_.classes;
    for (int64_t i = 0; bias_ != nullptr && i < n; ++i) {
      logits[i] = static_cast<T>(logits[i] + bias_[i]);
    }
    double largest = logits[0], sum = 0, mean = 0;
    for (int64_t i = 1; i < n; ++i) largest = std::max<double>(largest, logits[i]);
    for (int64_t i = 0; i < n; ++i) sum += std::exp(logits[i] - largest);
    for (int64_t i = 0; i < n && smoothing_ > 0; ++i) mean += logits[i] / static_cast<double>(n);
    loss_ += largest + std::log(sum) - (1 - smoothing_) * logits[label] - smoothing_ * mean;
    for (int64_t i = 0; i < n; ++i) {
      const double truth = (i == label ? 1 - smoothing_ : 0) + smoothing_ / static_cast<double>(n);
      logits[i] = static_cast<T>(std::exp(logits[i] - largest) / sum - truth);
      if (rounds_) {
        logits[i] = static_cast<T>(bf16_to_f32(f32_to_bf16(static_cast<float>(logits[i]))));
      }
    }
  }

  void write(const std::vector<double>& sums, size_t result) {
    T* to = e_.out(result).template mutable_data<T>();
    for (size_t i = 0; i < sums.size(); ++i) to[i] = static_cast<T>(sums[i]);
  }

  Eval& e_;
  HeadSizes sizes_;
  double smoothing_;
  bool rounds_;
  const T *x_, *weight_, *bias_;
  std::optional<size_t> x_grad_, weight_grad_, bias_grad_;
  std::vector<int64_t> rows_, labels_;  // that count
  std::vector<double> weight_sums_, bias_sums_;
  double loss_ = 0;
};

void evaluate(Eval& e) {
  dispatch_float(e.in("x").dtype(), [&]<class T>(T) { Reference<T>(e).run(); });
}

// --- the same by the ops that it stands for, the logits whole ---

std::vector<Value*> expand(Builder& b, const OpView& op) {
  const HeadSizes sizes = head_sizes_of(op);
  const Expr x = reshape(operand(b, op, "x"), {sizes.rows, sizes.depth});
  const Shape matrix =
      sizes.outputs_first ? Shape{sizes.classes, sizes.depth} : Shape{sizes.depth, sizes.classes};
  const Expr weight = reshape(operand(b, op, "weight"), matrix);
  Expr logits = matmul(x, weight, false, sizes.outputs_first);
  if (op.has("bias")) logits = logits + operand(b, op, "bias");
  const Expr labels = reshape(operand(b, op, "labels"), {sizes.rows});
  const ClassRows rows{logits, labels, op.integer("ignore_index"), op.number("label_smoothing")};
  std::vector<Argument> of_loss = {{"logits", logits.value()}, {"labels", labels.value()}};
  for (const char* input : {"ignore_index", "label_smoothing"}) {
    if (op.has(input)) of_loss.push_back(argument_of(input, op.operand(input)));
  }
  std::vector<Value*> results = b.op_results("mw.cross_entropy", of_loss);
  const bool asked = std::ranges::any_of(
      kHeadInputs, [&](std::string_view input) { return head_gradient(op, input).has_value(); });
  if (!asked) return results;
  Expr slope = cross_entropy_slope(rows, std::nullopt);
  if (op.flag("rounds_slope")) slope = as(as(slope, DType::kBF16), op.dtype("x"));
  if (head_gradient(op, "x")) {
    results.push_back(reshape(matmul(slope, weight, false, !sizes.outputs_first), op.shape("x")));
  }
  if (head_gradient(op, "weight")) {
    const Expr gradient =
        sizes.outputs_first ? matmul(slope, x, true, false) : matmul(x, slope, true, false);
    results.push_back(reshape(gradient, op.shape("weight")));
  }
  if (head_gradient(op, "bias")) results.push_back(reduce_sum(slope, {0}, false));
  return results;
}

// The results that are gradients, or those of another such op where they were not asked for, times
// the gradient of the sum.
void rule(Vjp& v) {
  for (size_t i = 2; i < v.operation().outputs.size(); ++i) {
    if (v.grad(i) == nullptr) continue;
    fail(ErrorCode::kUnsupported, "no gradient passes through the gradient of the loss");
  }
  if (v.grad(0) == nullptr) return;
  bool all_there = true;
  for (const std::string_view input : kHeadInputs) {
    all_there = all_there && (!v.wants(input) || head_gradient(v, input));
  }
  const ir::Operation* source = &v.operation();
  if (!all_there) {
    std::vector<Argument> inputs;
    for (const Input& input : source->inputs) {
      if (!input.name.ends_with("_grad")) {
        inputs.push_back(argument_of(input.name, input.operands[0]));
      }
    }
    for (const std::string_view input : kHeadInputs) {
      if (v.wants(input)) inputs.emplace_back(head_flag(input), true);
    }
    source = v.builder().op_results("mw.linear_cross_entropy", inputs)[0]->producer;
  }
  const OpView gradients(*source, v.def(), v.opset());
  for (const std::string_view input : kHeadInputs) {
    if (!v.wants(input)) continue;
    Value* gradient = source->outputs[head_gradient(gradients, input).value()].get();
    v.add(input, Expr(v.builder(), gradient) * grad(v));
  }
}

}  // namespace

OpDef linear_cross_entropy() {
  return OpDef("mw.linear_cross_entropy")
      .types("T", {DType::kF16, DType::kF32})
      .input("x", "T", kFactor)
      .input("weight", "T", kWeight | kFactor)
      .input("labels", DType::kI32)
      .input("bias", "T", kOptional | kWeight | kBias)
      .input("outputs_first", DType::kBool, kConst | kOptional, true)
      .input("rows_at_once", DType::kI32, kConst | kOptional, 0)
      .input("ignore_index", DType::kI32, kConst | kOptional, kIgnoredLabel)
      .input("label_smoothing", DType::kF32, kConst | kOptional, 0.0)
      .input("rounds_slope", DType::kBool, kConst | kOptional | kFactor, false)
      .input("x_grad", DType::kBool, kConst | kOptional, false)
      .input("weight_grad", DType::kBool, kConst | kOptional, false)
      .input("bias_grad", DType::kBool, kConst | kOptional, false)
      .infer(infer)
      .eval(evaluate)
      .expand(expand)
      .vjp(rule);
}

}  // namespace mw::ops
