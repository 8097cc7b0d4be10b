// A rule as a function of its operands, and gradients that change from step to step.
#include "train/optimizers/testing.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "exec/naive.h"
#include "ops/catalog.h"

namespace mw::training {
namespace {

constexpr int kSteps = 6;

// Inputs: value, gradient, learning_rate, the numbers and states of the rule; results: new_NAME.
struct Update {
  ir::Program program;
  ir::Function& function = *program.add_function("main", ir::Opset::kIos18);
  std::unique_ptr<UpdateRule> rule;
  std::vector<UpdateRule::State> states;

  Update(const Optimizer& settings, const Shape& shape)
      : rule(make_rule(settings)), states(rule->states(shape)) {
    ir::Block& block = function.body;
    const auto argument = [&](const std::string& name, const Shape& its) {
      return block.add_argument(name, ir::Type::tensor(DType::kF64, its));
    };
    ir::Value *value = argument("value", shape), *gradient = argument("gradient", shape);
    ir::Value* rate = argument("learning_rate", {});
    for (const auto& number : rule->numbers()) argument(number.name, {});
    for (const auto& state : states) argument(state.name, state.shape);
    ir::Builder b(block, ops::catalog(), function.opset);
    UpdateRule::Named kept, numbers;
    for (const auto& state : states) {
      kept.emplace(state.name, ops::Expr(b, function.find_argument(state.name)));
    }
    for (const auto& number : rule->numbers()) {
      numbers.emplace(number.name, ops::Expr(b, function.find_argument(number.name)));
    }
    const auto results = rule->update({ops::Expr(b, value), ops::Expr(b, gradient),
                                       ops::Expr(b, rate), kept, numbers, rule->weight_decay()});
    give("value", results.value);
    for (const auto& state : states) give(state.name, results.states.at(state.name));
  }
  void give(const std::string& name, const ops::Expr& result) {
    ir::Value* copy = result * 1.0;
    copy->name = "new_" + name;
    function.body.outputs.push_back(copy);
  }
};

Tensor tensor_of(const Numbers& numbers, const Shape& shape) {
  Tensor tensor(DType::kF64, shape);
  for (size_t i = 0; i < numbers.size(); ++i) {
    tensor.set_number(static_cast<int64_t>(i), numbers[i]);
  }
  return tensor;
}

Numbers random_numbers(size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  Numbers numbers(count);
  for (double& number : numbers) number = static_cast<double>(generator()) / 0x1p31 - 1;
  return numbers;
}

}  // namespace

Matrix transposed(const Matrix& a) {
  Matrix t(a.columns, a.rows);
  for (size_t i = 0; i < a.rows; ++i) {
    for (size_t k = 0; k < a.columns; ++k) t(k, i) = a(i, k);
  }
  return t;
}

Matrix product(const Matrix& a, const Matrix& b) {
  Matrix c(a.rows, b.columns);
  for (size_t i = 0; i < a.rows; ++i) {
    for (size_t k = 0; k < b.columns; ++k) {
      for (size_t j = 0; j < a.columns; ++j) c(i, k) += a(i, j) * b(j, k);
    }
  }
  return c;
}

void expect_formula(const Optimizer& settings, const Shape& shape, const Formula& formula) {
  const Update update(settings, shape);
  const auto count = static_cast<size_t>(count_of(shape));
  Numbers want = random_numbers(count, 1);
  TensorMap inputs = {{"value", tensor_of(want, shape)}};
  for (const auto& state : update.states) inputs[state.name] = Tensor(DType::kF64, state.shape);
  std::map<std::string, Numbers> kept;
  for (int t = 1; t <= kSteps; ++t) {
    const Numbers gradient = random_numbers(count, static_cast<unsigned>(1 + t));
    const double rate = double{update.rule->learning_rate()} / t;
    formula({t, rate, gradient}, want, kept);
    inputs["gradient"] = tensor_of(gradient, shape);
    inputs["learning_rate"] = Tensor::scalar(rate);
    for (const auto& number : update.rule->numbers()) {
      inputs[number.name] = Tensor::scalar(number.at(t));
    }
    for (const auto& [name, datum] : exec::run_naive(update.function, ops::catalog(), inputs)) {
      inputs[name.substr(4)] = datum.tensor.clone();
    }
    for (size_t i = 0; i < count; ++i) {
      const double got = inputs.at("value").number_at(static_cast<int64_t>(i));
      ASSERT_NEAR(got, want[i], 1e-12 * std::max(1.0, std::fabs(want[i])))
          << to_string(shape) << ", step " << t << ", number " << i;
    }
  }
}

}  // namespace mw::training
