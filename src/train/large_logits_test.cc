// Training of a model whose logits are too many to be whole: the same numbers in less memory.
#include <gtest/gtest.h>

#include <cmath>

#include "adapters/testing.h"
#include "base/error.h"
#include "base/testing.h"
#include "devices/devices.h"
#include "ops/rewrites/head_loss.h"
#include "train/trainer.h"

namespace mw::training {
namespace {

using adapters::Built, adapters::random;

constexpr int64_t kRows = 300, kClasses = 33'000, kWidth = 4;
static_assert(kRows * kClasses > ops::kLogitsAtOnce && kRows / 2 * kClasses < ops::kLogitsAtOnce);
constexpr uint64_t kLogitsBytes = kRows * kClasses * sizeof(float);

// y = tanh(table[ids] a) table^T: the table is embedding and head.
struct Tied {
  Built built{ir::Opset::kIos18};
  std::vector<Parameter> parameters;

  Tied() {
    ir::Value* ids = built.input("ids", {ir::kUnknownDim}, DType::kI32);
    ir::Value* table = built.weight("table", {kClasses, kWidth});
    ir::Value* a = built.weight("a", {kWidth, kWidth});
    for (const char* name : {"table", "a"}) {
      parameters.push_back({.name = name, .places = {{name}}});
    }
    ir::Value* h = built.b.op("gather", {{"x", table}, {"indices", ids}, {"axis", 0}});
    h = built.b.op("tanh", {{"x", built.b.op("linear", {{"x", h}, {"weight", a}})}});
    built.returns({built.b.op("linear", {{"x", h}, {"weight", table}}, "y")});
  }
};

TrainerOptions options_of(const Tied& model) {
  TrainerOptions options;
  options.settings.optimizer = AdamW{.learning_rate = 0.01F};
  options.settings.label_smoothing = 0.1F;
  options.target = "y";
  options.parameters = model.parameters;
  options.platform = devices::platform("cpu");
  return options;
}

// Rows [begin, end) of one batch; every seventh label does not count.
TensorMap batch_of(int64_t begin, int64_t end) {
  Tensor ids(DType::kI32, {end - begin}), labels(DType::kI32, {end - begin});
  for (int64_t row = begin; row < end; ++row) {
    ids.set_integer(row - begin, row * 7919 % kClasses);
    labels.set_integer(row - begin, row % 7 == 3 ? -100 : row * 104729 % kClasses);
  }
  return {{"ids", ids}, {"labels", labels}};
}

double distance(const Tensor& a, const Tensor& b) {
  double squares = 0, norm = 0;
  for (int64_t i = 0; i < a.count(); ++i) {
    squares += std::pow(a.number_at(i) - b.number_at(i), 2);
    norm += std::pow(b.number_at(i), 2);
  }
  return std::sqrt(squares / norm);
}

// Of both, the logits of half a batch are few enough for the other way.
TEST(LargeLogits, give_the_gradients_of_two_halves) {
  const Tied model;
  Trainer trainer(model.built.function, options_of(model));
  StepResult whole, first, second;
  const TensorMap got = trainer.gradients(batch_of(0, kRows), whole);
  const TensorMap a = trainer.gradients(batch_of(0, kRows / 2), first);
  const TensorMap b = trainer.gradients(batch_of(kRows / 2, kRows), second);
  const auto of_first = static_cast<double>(first.tokens) / static_cast<double>(whole.tokens);
  EXPECT_EQ(whole.tokens, first.tokens + second.tokens);
  const double loss = of_first * first.loss + (1 - of_first) * second.loss;
  EXPECT_NEAR(whole.loss, loss, 1e-6 * loss);
  EXPECT_NEAR(trainer.evaluate(batch_of(0, kRows)).loss, loss, 1e-6 * loss);
  for (const auto& [name, gradient] : got) {
    Tensor want(DType::kF32, gradient.shape());
    for (int64_t i = 0; i < want.count(); ++i) {
      want.set_number(
          i, of_first * a.at(name).number_at(i) + (1 - of_first) * b.at(name).number_at(i));
    }
    EXPECT_LE(distance(gradient, want), 1e-5) << name;
  }
}

TEST(LargeLogits, are_nowhere_whole) {
  const Tied model;
  Trainer trainer(model.built.function, options_of(model));
  for (const Kind kind : {Kind::kStep, Kind::kAccumulate, Kind::kGradients, Kind::kEvaluate}) {
    const std::string plan = trainer.plan_text(kind, {{"ids", {kRows}}, {"labels", {kRows}}});
    EXPECT_FALSE(testing::has(plan, fmt::format("{}, {}]", kRows, kClasses))) << plan;
  }
  (void)trainer.step(batch_of(0, kRows));
  const uint64_t table = kClasses * kWidth * sizeof(float);
  EXPECT_LE(trainer.step_bytes(), ops::kLogitsAtOnce * sizeof(float) + 12 * table);
  EXPECT_LT(trainer.step_bytes(), kLogitsBytes);
}

TEST(LargeLogits, train_to_the_same_bits_in_every_run) {
  const Tied model;
  std::vector<TensorMap> states;
  for (const bool goes_on : {false, false, true}) {
    Trainer trainer(model.built.function, options_of(model));
    const auto step = [&](Trainer& with) {
      (void)with.step(batch_of(0, kRows));
      (void)with.step(2, [](int64_t i) { return batch_of(i, kRows + i); });
    };
    step(trainer);
    if (goes_on) {
      Trainer other(model.built.function, options_of(model));
      other.load_state(trainer.state());
      step(other);
      states.push_back(other.state());
    } else {
      step(trainer);
      states.push_back(trainer.state());
    }
  }
  for (const auto& [name, tensor] : states[0]) {
    EXPECT_TRUE(bit_equal(states[1].at(name), tensor)) << name;
    EXPECT_TRUE(bit_equal(states[2].at(name), tensor)) << name << ", from a checkpoint";
  }
}

TEST(LargeLogits, train_alike_op_by_op) {
  const Tied model;
  std::vector<TensorMap> gradients(2);
  std::vector<StepResult> results(2);
  for (const bool naive : {false, true}) {
    TrainerOptions options = options_of(model);
    options.settings.naive = naive;
    Trainer trainer(model.built.function, options);
    gradients[naive ? 1 : 0] = trainer.gradients(batch_of(0, kRows), results[naive ? 1 : 0]);
  }
  EXPECT_NEAR(results[0].loss, results[1].loss, 1e-6 * results[1].loss);
  for (const auto& [name, gradient] : gradients[0]) {
    EXPECT_LE(distance(gradient, gradients[1].at(name)), 1e-5) << name;
  }
}

TEST(LargeLogits, that_are_not_finite_are_told_as_others_are) {
  const Tied model;
  Trainer trainer(model.built.function, options_of(model));
  const Parameter& parameter = trainer.parameters().at(0);
  Tensor table = trainer.master(parameter).clone();
  for (int64_t i = 0; i < kWidth; ++i) table.set_number(kWidth + i, 3e38);
  trainer.set_master(parameter, table);
  for (const int64_t rows : {kRows, kRows / 2}) {
    try {
      (void)trainer.step(batch_of(0, rows));
      ADD_FAILURE() << "expected an error";
    } catch (const Error& e) {
      EXPECT_TRUE(testing::has(e.what(),
                               "expected a finite loss, got nan; the step has not "
                               "happened"))
          << e.what();
    }
    EXPECT_EQ(trainer.first_nonfinite({{"ids", batch_of(0, rows).at("ids")}}), "linear 'y'");
  }
  EXPECT_EQ(trainer.steps_done(), 0);
}

TEST(LargeLogits, train_within_a_limit_of_memory) {
  const Tied model;
  TrainerOptions options = options_of(model);
  Trainer whole(model.built.function, options);
  (void)whole.step(batch_of(0, kRows));
  options.settings.recompute = true;
  Trainer least(model.built.function, options);
  (void)least.step(batch_of(0, kRows));
  EXPECT_LE(least.step_bytes(), whole.step_bytes());
  const TensorMap want = whole.state(), got = least.state();
  for (const auto& [name, tensor] : want) EXPECT_TRUE(bit_equal(got.at(name), tensor)) << name;
}

TEST(LargeLogits, without_a_label_that_counts_are_refused) {
  const Tied model;
  Trainer trainer(model.built.function, options_of(model));
  TensorMap batch = batch_of(0, kRows);
  for (int64_t i = 0; i < kRows; ++i) batch.at("labels").set_integer(i, -100);
  const TensorMap before = trainer.state();
  EXPECT_THROW((void)trainer.step(batch), Error);
  for (const auto& [name, tensor] : before) {
    EXPECT_TRUE(bit_equal(trainer.state().at(name), tensor)) << name;
  }
}

}  // namespace
}  // namespace mw::training
