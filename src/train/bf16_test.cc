// Training in bf16: planned beside op by op, and both beside fp32.
#include <gtest/gtest.h>

#include <cmath>

#include "adapters/testing.h"
#include "devices/devices.h"
#include "train/trainer.h"

namespace mw::training {
namespace {

using adapters::Built, adapters::random;

constexpr int64_t kRows = 24, kInputs = 16, kHidden = 40, kClasses = 10;

// A residual block of three matrices, a bias and a gate, and a head.
struct Network {
  Built built{ir::Opset::kIos18};
  std::vector<Parameter> parameters;

  Network() {
    ir::Builder& b = built.b;
    ir::Value* x = built.input("x", {kRows, kInputs});
    ir::Value* gate = b.op("linear", {{"x", x}, {"weight", weight("gate", {kHidden, kInputs})}});
    ir::Value* up = b.op("linear", {{"x", x},
                                    {"weight", weight("up", {kHidden, kInputs})},
                                    {"bias", weight("bias", {kHidden})}});
    ir::Value* h = b.op("mul", {{"x", b.op("silu", {{"x", gate}})}, {"y", up}});
    ir::Value* down = b.op("linear", {{"x", h}, {"weight", weight("down", {kInputs, kHidden})}});
    ir::Value* sum = b.op("add", {{"x", x}, {"y", down}});
    ir::Value* y = b.op("linear", {{"x", sum}, {"weight", weight("head", {kClasses, kInputs})}});
    y->name = "y";
    built.returns({y});
  }
  ir::Value* weight(const std::string& name, const Shape& shape) {
    ir::Value* made = built.weight(name, shape);
    parameters.push_back({.name = name, .places = {{made->name}}});
    return made;
  }
};

Trainer trainer_of(const Network& network, const passes::Numerics& numerics, bool naive = false) {
  TrainerOptions options;
  options.settings.naive = naive;
  options.target = "y";
  options.parameters = network.parameters;
  options.platform = devices::platform("cpu");
  options.threads = 2;
  options.numerics = numerics;
  return {network.built.function, std::move(options)};
}

TensorMap batch_of(int64_t i) {
  Tensor labels(DType::kI32, {kRows});
  for (int64_t row = 0; row < kRows; ++row) labels.set_integer(row, (row * 7 + i) % kClasses);
  return {{"x", random({kRows, kInputs}, static_cast<uint64_t>(i))}, {"labels", labels}};
}

// Of the norm of `want`.
double deviation(const Tensor& got, const Tensor& want) {
  double off = 0, all = 0;
  for (int64_t i = 0; i < want.count(); ++i) {
    off += std::pow(got.number_at(i) - want.number_at(i), 2);
    all += std::pow(want.number_at(i), 2);
  }
  return std::sqrt(off / all);
}

TEST(bf16, gradients_are_planned_as_they_are_op_by_op_and_close_to_fp32) {
  const Network network;
  StepResult planned_result, naive_result, exact_result;
  Trainer planned = trainer_of(network, passes::kBf16), exact = trainer_of(network, passes::kFp32),
          naive = trainer_of(network, passes::kBf16, true);
  const TensorMap got = planned.gradients(batch_of(1), planned_result),
                  want = naive.gradients(batch_of(1), naive_result),
                  fp32 = exact.gradients(batch_of(1), exact_result);
  EXPECT_NEAR(planned_result.loss, naive_result.loss, 1e-5 * naive_result.loss);
  EXPECT_NEAR(planned_result.loss, exact_result.loss, 0.01 * exact_result.loss);
  EXPECT_NE(planned_result.loss, exact_result.loss);
  ASSERT_EQ(got.size(), network.parameters.size());
  for (const auto& [name, gradient] : got) {
    EXPECT_LE(deviation(gradient, want.at(name)), 0x1p-9) << name;
    EXPECT_LE(deviation(gradient, fp32.at(name)), 0.05) << name;  // weights of up to 1 are large
    EXPECT_GT(deviation(gradient, fp32.at(name)), 1e-5) << name;
  }
}

TEST(bf16, steps_follow_fp32_and_masters_stay_fp32) {
  const Network network;
  Trainer bf16 = trainer_of(network, passes::kBf16), fp32 = trainer_of(network, passes::kFp32);
  for (int64_t step = 0; step < 20; ++step) {
    const double got = bf16.step(batch_of(step)).loss, want = fp32.step(batch_of(step)).loss;
    EXPECT_NEAR(got, want, 0.01 * want) << step;
  }
  // A rounded master would be a number of bf16.
  int64_t finer = 0;
  for (const auto& [name, value] : bf16.state()) {
    if (name == "step") continue;
    ASSERT_EQ(value.dtype(), DType::kF32) << name;
    for (int64_t i = 0; i < value.count(); ++i) {
      finer += value.to(DType::kBF16).number_at(i) != value.number_at(i);
    }
  }
  EXPECT_GT(finer, 1000);
}

TEST(bf16, accumulated_batches_give_the_same_bits_again) {
  const Network network;
  Trainer parts = trainer_of(network, passes::kBf16), again = trainer_of(network, passes::kBf16);
  for (int64_t step = 0; step < 3; ++step) {
    for (Trainer* trainer : {&parts, &again}) {
      (void)trainer->step(2, [&](int64_t i) { return batch_of(2 * step + i); });
    }
  }
  for (const auto& [name, value] : parts.state()) {
    if (name == "step") continue;
    EXPECT_EQ(deviation(again.state().at(name), value), 0) << name;
  }
}

}  // namespace
}  // namespace mw::training
