// That a repeated step of training, and what goes with it, takes no new memory: this binary counts
// what it takes. Gradients, updates and results of this model are of 1 MiB and more, 256 pages each
// where they are new.
#include "adapters/testing.h"
#include "base/allocation_testing.h"
#include "base/memory_checks.h"
#include "devices/devices.h"
#include "ops/catalog.h"
#include "train/trainer.h"

namespace mw::training {
namespace {

using adapters::random;
using testing::taken_by_each, testing::Taken;

constexpr int64_t kVocabulary = 4096, kWidth = 96, kHidden = 4096, kRows = 4, kTime = 64;
constexpr int64_t kMostFaults = 50;
// Tables of a library, names of inputs.
constexpr int64_t kSmallChange = int64_t{256} << 10;

// Token ids through a layer to logits over the table that embeds them.
struct TiedModel {
  ir::Program program;
  ir::Function& function = *program.add_function("main", ir::Opset::kIos17);
  std::vector<Parameter> parameters;

  TiedModel() {
    ir::Value* ids =
        function.body.add_argument("ids", ir::Type::tensor(DType::kI32, {kRows, kTime}));
    ir::Builder b(function.body, ops::catalog(), function.opset);
    const auto weight = [&](const char* name, const Shape& shape) {
      ir::Value* made =
          b.constant(ir::Constant::tensor(random(shape, static_cast<uint64_t>(shape[1]))), name);
      parameters.push_back({.name = name, .places = {{made->name}}});
      return made;
    };
    ir::Value* table = weight("table", {kVocabulary, kWidth});
    ir::Value* x = b.op("gather", {{"x", table}, {"indices", ids}, {"axis", 0}});
    ir::Value* h = b.op("linear", {{"x", x}, {"weight", weight("up", {kHidden, kWidth})}});
    h = b.op("relu", {{"x", h}});
    h = b.op("linear", {{"x", h}, {"weight", weight("down", {kWidth, kHidden})}});
    ir::Value* logits =
        b.op("linear", {{"x", b.op("add", {{"x", h}, {"y", x}})}, {"weight", table}});
    logits->name = "logits";
    function.body.outputs = {logits};
  }
};

TensorMap batch_of(int32_t seed) {
  std::vector<int32_t> ids, labels;
  for (int32_t i = 0; i < kRows * kTime; ++i) {
    ids.push_back((i * 37 + seed) % kVocabulary);
    labels.push_back((i * 61 + seed) % kVocabulary);
  }
  return {{"ids", Tensor::from(ids, {kRows, kTime})},
          {"labels", Tensor::from(labels, {kRows, kTime})}};
}

class StepMemory : public ::testing::Test {
 protected:
  void SetUp() override {
    if (poison_mode() != Poison::kNone || guard_mode() != Guard::kNone) {
      GTEST_SKIP() << "each tensor has memory of its own where memory is checked";
    }
    TrainerOptions options;
    options.settings.optimizer = AdamW{};
    options.settings.clip_norm = 1;
    options.target = "logits";
    options.parameters = model_.parameters;
    options.platform = devices::platform("cpu");
    options.threads = 2;
    trainer_.emplace(model_.function, std::move(options));
  }
  static void expect_nothing_new(const Taken& taken) {
    EXPECT_LT(taken.faults, kMostFaults);
    EXPECT_EQ(taken.large, 0);
    EXPECT_LT(taken.bytes, kSmallChange);
  }

  TiedModel model_;
  TensorMap batch_ = batch_of(1), other_ = batch_of(2);
  std::optional<Trainer> trainer_;
};

TEST_F(StepMemory, of_a_step_with_clipping) {
  expect_nothing_new(taken_by_each([&] { (void)trainer_->step(batch_); }));
}

TEST_F(StepMemory, of_a_step_over_several_batches) {
  expect_nothing_new(taken_by_each(
      [&] { (void)trainer_->step(2, [&](int64_t i) { return i == 0 ? batch_ : other_; }); }));
}

TEST_F(StepMemory, of_steps_and_evaluations_in_turns) {
  expect_nothing_new(taken_by_each([&] {
    (void)trainer_->step(batch_);
    (void)trainer_->evaluate(other_);
  }));
}

TEST_F(StepMemory, of_results_of_the_model) {
  const TensorMap inputs{{"ids", batch_.at("ids")}};
  expect_nothing_new(taken_by_each([&] { (void)trainer_->forward(inputs); }));
  TensorMap kept;
  expect_nothing_new(taken_by_each([&] { kept = trainer_->forward(inputs); }));
}

TEST_F(StepMemory, of_gradients_that_are_handed_out) {
  StepResult result;
  expect_nothing_new(taken_by_each([&] { (void)trainer_->gradients(batch_, result); }));
  const TensorMap first = trainer_->gradients(batch_, result);
  const Tensor copy = first.at("table").clone();
  (void)trainer_->gradients(other_, result);
  EXPECT_TRUE(bit_equal(first.at("table"), copy));
}

}  // namespace
}  // namespace mw::training
