// Cases for mw.linear_cross_entropy.
#include <gtest/gtest.h>

#include <cmath>

#include "base/half.h"
#include "ops/op_case.h"

namespace mw::ops {
namespace {

using Inputs = std::vector<CaseInput>;

// Sums, count and gradients by their definition, row by row.
struct Direct {
  const OpCase& c;
  int64_t rows, depth, classes;
  bool outputs_first;
  std::vector<double> x_grad, weight_grad, bias_grad;
  double loss = 0, count = 0;

  explicit Direct(const OpCase& c)
      : c(c),
        rows(c["labels"].count()),
        depth(c["x"].dim(-1)),
        outputs_first(!c.has("outputs_first") || c.ints("outputs_first")[0] != 0) {
    classes = c["weight"].dim(outputs_first ? 0 : 1);
    x_grad.resize(static_cast<size_t>(rows * depth));
    weight_grad.resize(static_cast<size_t>(classes * depth));
    bias_grad.resize(static_cast<size_t>(classes));
    for (int64_t row = 0; row < rows; ++row) add(row);
  }

  [[nodiscard]] int64_t at(int64_t output, int64_t input) const {
    return outputs_first ? output * depth + input : input * classes + output;
  }

  void add(int64_t row) {
    const int64_t label = c["labels"].integer_at(row);
    if (label == (c.has("ignore_index") ? c.ints("ignore_index")[0] : -100)) return;
    const double smoothing = c.number("label_smoothing", 0);
    std::vector<double> logits;
    double sum = 0;
    for (int64_t j = 0; j < classes; ++j) {
      double logit = c.has("bias") ? c["bias"].number_at(j) : 0;
      for (int64_t i = 0; i < depth; ++i) {
        logit += c["x"].number_at(row * depth + i) * c["weight"].number_at(at(j, i));
      }
      logits.push_back(logit);
      sum += std::exp(logit);
    }
    count += 1;
    for (int64_t j = 0; j < classes; ++j) {
      const double p = std::exp(logits[static_cast<size_t>(j)]) / sum;
      const double truth =
          (j == label ? 1 - smoothing : 0) + smoothing / static_cast<double>(classes);
      loss -= truth * std::log(p);
      double slope = p - truth;
      if (c.has("rounds_slope")) slope = bf16_to_f32(f32_to_bf16(static_cast<float>(slope)));
      bias_grad[static_cast<size_t>(j)] += slope;
      for (int64_t i = 0; i < depth; ++i) {
        x_grad[static_cast<size_t>(row * depth + i)] += slope * c["weight"].number_at(at(j, i));
        weight_grad[static_cast<size_t>(at(j, i))] += slope * c["x"].number_at(row * depth + i);
      }
    }
  }
};

std::vector<Tensor> reference_of(const OpCase& c) {
  const Direct direct(c);
  std::vector<Tensor> results{OpCases::number(direct.loss), OpCases::number(direct.count)};
  const auto also = [&](const char* input, const std::vector<double>& gradient) {
    if (c.has(std::string(input) + "_grad")) {
      results.push_back(OpCases::values(gradient, c[input].shape()));
    }
  };
  also("x", direct.x_grad);
  also("weight", direct.weight_grad);
  also("bias", direct.bias_grad);
  return results;
}

const std::vector<DType> kWide{DType::kF64, DType::kF32};

}  // namespace

MW_OWN_OP_CASES(linear_cross_entropy) {
  const CaseInput smoothing("label_smoothing", number(0.2)), second("outputs_first", flag(false));
  const auto some = [](int64_t rows) { return CaseInput("rows_at_once", integer(rows)); };
  const Inputs both = {{"x_grad", flag(true)}, {"weight_grad", flag(true)}};
  const CaseInput bias_grad("bias_grad", flag(true));
  const auto check = [&](const char* title, Tensor x, Tensor weight, Tensor labels,
                         const std::vector<Inputs>& more,
                         const std::vector<DType>& dtypes = kWide) {
    Inputs inputs{
        {"x", std::move(x)}, {"weight", std::move(weight)}, {"labels", std::move(labels)}};
    for (const Inputs& each : more) inputs.insert(inputs.end(), each.begin(), each.end());
    add(title, inputs).only(dtypes).tolerance(Kind::kReduction);
  };
  const auto bias = [&](int64_t classes) { return CaseInput("bias", normal({classes})); };
  check("rows", normal({3, 4}), normal({5, 4}), ints({0, 4, 2}), {});
  check("inputs first", normal({3, 4}), normal({4, 5}), ints({0, 4, 2}), {{second}});
  check("bias", normal({3, 4}), normal({5, 4}), ints({0, 4, 2}), {{bias(5)}});
  check("bias, smoothed", normal({3, 4}), normal({5, 4}), ints({0, 4, 2}), {{bias(5), smoothing}});
  check("batches, some ignored", normal({2, 3, 4}), normal({5, 4}),
        ints({0, -100, 1, -100, 2, 0}, {2, 3}), {{some(2)}});
  check("gradients", normal({3, 4}), normal({5, 4}), ints({0, 4, 2}), {both});
  check("gradients, inputs first", normal({3, 4}), normal({4, 5}), ints({0, 4, 2}),
        {both, {second}});
  check("gradients of the bias, too", normal({3, 4}), normal({5, 4}), ints({0, 4, 2}),
        {both, {bias(5), bias_grad, smoothing}});
  check("gradient of the bias alone", normal({3, 4}), normal({5, 4}), ints({0, 4, 2}),
        {{bias(5), bias_grad}});
  check("gradient of x alone", normal({3, 4}), normal({5, 4}), ints({0, 4, 2}),
        {{{"x_grad", flag(true)}}});
  check("gradient of the weight alone, another label ignored", normal({3, 4}), normal({5, 4}),
        ints({0, 4, 2}), {{{"weight_grad", flag(true)}, {"ignore_index", integer(4)}}});
  check("chunks of odd sizes", normal({37, 19}), normal({131, 19}), random_ints({37}, 0, 131),
        {both, {some(16), bias(131), bias_grad}});
  check("chunks, inputs first", normal({37, 19}), normal({19, 131}), random_ints({37}, 0, 131),
        {both, {some(16), second, smoothing}});
  check("chunks with labels ignored", normal({9, 3}), normal({7, 3}),
        ints({-100, 0, 6, -100, -100, 3, 1, 2, -100}), {both, {some(2), bias(7), bias_grad}});
  check("chunks of one row", normal({5, 3}), normal({7, 3}), ints({0, 6, 3, 1, 2}),
        {both, {some(1)}});
  check("more than one piece of classes", normal({5, 3}), normal({9001, 3}),
        ints({0, 9000, 4096, 4095, 5000}), {both, {some(4), smoothing}});
  // Not in fp64, where gradients are checked by differences: a rounded slope is none.
  const CaseInput rounds("rounds_slope", flag(true));
  check("slopes rounded", normal({37, 19}), normal({131, 19}), random_ints({37}, 0, 131),
        {both, {bias(131), bias_grad, rounds}}, {DType::kF32});
  check("slopes rounded, chunks, inputs first", normal({37, 19}), normal({19, 131}),
        random_ints({37}, 0, 131), {both, {some(16), second, smoothing, rounds}}, {DType::kF32});
  check("slopes rounded of no gradient", normal({3, 4}), normal({5, 4}), ints({0, 4, 2}),
        {{rounds}}, {DType::kF32});
  check("all labels ignored", normal({4, 3}), normal({7, 3}), ints({-100, -100, -100, -100}),
        {both, {some(2), bias(7), bias_grad}});
  check("one input", normal({4, 1}), normal({7, 1}), ints({0, 6, 3, 1}), {both, {some(3)}});
  check("one row", normal({6}), normal({4, 6}), integer(3), {both});
  check("as a convolution has it", normal({3, 4}), normal({5, 4, 1, 1}), ints({0, 4, 2}), {both});
  reference(reference_of);
  const auto refuse = [&](const char* title, const Inputs& inputs, const char* why) {
    reject(title, inputs, why);
  };
  const CaseInput x("x", normal({2, 3})), weight("weight", normal({4, 3})),
      labels("labels", ints({0, 3}));
  refuse("a label beyond the classes", {x, weight, {"labels", ints({0, 4})}},
         "labels: expected values in [0, 4) or -100, got 4");
  refuse("a scalar", {{"x", number(1)}, weight, {"labels", integer(0)}},
         "x: expected [.., inputs], got a scalar");
  refuse("another depth", {x, {"weight", normal({4, 5})}, labels},
         "weight: expected 3 inputs as x has, got shape [4, 5]");
  refuse("a vector for a weight", {x, {"weight", normal({3})}, labels},
         "weight: expected a matrix, got shape [3]");
  refuse("a window", {x, {"weight", normal({4, 3, 2})}, labels},
         "weight: expected extents of 1 behind a matrix, got shape [4, 3, 2]");
  refuse("number of labels", {x, weight, {"labels", ints({0})}},
         "labels: expected shape [2], got [1]");
  refuse("another bias", {x, weight, labels, {"bias", normal({3})}},
         "bias: expected shape [4], got [3]");
  refuse("too smooth", {x, weight, labels, {"label_smoothing", number(1)}},
         "label_smoothing: expected a number in [0, 1), got 1");
  refuse("less than no rows", {x, weight, labels, {"rows_at_once", integer(-1)}},
         "rows_at_once: expected 0 or more, got -1");
}

}  // namespace mw::ops
