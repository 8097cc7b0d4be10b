// Every optimiser in training: planned in fp32 beside op by op in fp64, its states saved and
// loaded.
#include "train/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "adapters/testing.h"
#include "devices/devices.h"
#include "train/trainer.h"

namespace mw::training {
namespace {

using adapters::Built, adapters::random;

// y = relu(x a + c) b: matrices and a vector to train.
struct Network {
  Built built{ir::Opset::kIos18};
  std::vector<Parameter> parameters;

  Network() {
    ir::Value* x = built.input("x", {4, 3});
    ir::Value *a = weight("a", {6, 3}), *c = weight("c", {6}), *b = weight("b", {2, 6});
    ir::Value* h = built.b.op("linear", {{"x", x}, {"weight", a}, {"bias", c}});
    ir::Value* y = built.b.op("linear", {{"x", built.b.op("relu", {{"x", h}})}, {"weight", b}});
    y->name = "y";
    built.returns({y});
  }
  ir::Value* weight(const std::string& name, const Shape& shape) {
    ir::Value* made = built.weight(name, shape);
    parameters.push_back({.name = name, .places = {{made->name}}});
    return made;
  }
};

Trainer trainer_of(const Network& network, const Optimizer& optimizer, DType dtype) {
  TrainerOptions options;
  options.settings.loss = Loss::kMeanSquaredError;
  options.settings.optimizer = optimizer;
  options.target = "y";
  options.parameters = network.parameters;
  options.platform = devices::platform("cpu");
  options.threads = 1;
  options.numerics.values = dtype;
  return {network.built.function, std::move(options)};
}

TensorMap batch_of(int64_t i) {
  const auto seed = static_cast<uint64_t>(i);
  return {{"x", random({4, 3}, seed)}, {"labels", random({4, 2}, seed + 50)}};
}

double distance(const Tensor& a, const Tensor& b) {
  double sum = 0;
  for (int64_t i = 0; i < a.count(); ++i) {
    sum += (a.number_at(i) - b.number_at(i)) * (a.number_at(i) - b.number_at(i));
  }
  return std::sqrt(sum);
}

template <class F>
void for_every_optimizer(const F& f) {
  const auto all = [&]<class... T>(const std::variant<T...>*) {
    (f(Optimizer(T{}), T::kName), ...);
  };
  all(static_cast<const Optimizer*>(nullptr));
}

TEST(every_optimizer, does_planned_what_it_does_op_by_op) {
  const Network network;
  for_every_optimizer([&](const Optimizer& optimizer, const char* name) {
    Trainer planned = trainer_of(network, optimizer, DType::kF32);
    Trainer exact = trainer_of(network, optimizer, DType::kF64);
    const TensorMap before = planned.state();
    for (int64_t step = 0; step < 4; ++step) {
      (void)planned.step(batch_of(step));
      (void)exact.step(batch_of(step));
      const auto several = [&](int64_t i) { return batch_of(10 * step + i); };
      (void)planned.step(2, several);
      (void)exact.step(2, several);
    }
    const TensorMap got = planned.state(), want = exact.state();
    for (const char* parameter : {"a", "b", "c"}) {
      const double moved = distance(want.at(parameter), before.at(parameter));
      EXPECT_GT(moved, 1e-4) << name << ": " << parameter;
      EXPECT_LE(distance(got.at(parameter), want.at(parameter)), 1e-3 * moved)
          << name << ": " << parameter;
    }
  });
}

TEST(every_optimizer, goes_on_from_its_states) {
  const Network network;
  for_every_optimizer([&](const Optimizer& optimizer, const char* name) {
    Trainer whole = trainer_of(network, optimizer, DType::kF32);
    Trainer second = trainer_of(network, optimizer, DType::kF32);
    for (int64_t i = 0; i < 3; ++i) (void)whole.step(batch_of(i));
    second.load_state(whole.state());
    (void)whole.step(batch_of(9));
    (void)second.step(batch_of(9));
    const TensorMap got = second.state();
    for (const auto& [state, want] : whole.state()) {
      EXPECT_TRUE(bit_equal(got.at(state), want)) << name << ": " << state;
    }
  });
}

}  // namespace
}  // namespace mw::training
