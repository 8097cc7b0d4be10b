// Training within a memory budget: the same bits from a smaller step, alone and with a teacher.
#include <cstring>

#include "facade_testing.h"
#include "millwright/training.hpp"

namespace mw {
namespace {

using testing::example;

constexpr int64_t kTime = 128, kVocabulary = 512;

Tensor tokens(int64_t rows, uint64_t seed) {
  Tensor ids(DType::kI32, {rows, kTime});
  uint64_t state = seed;
  for (int64_t i = 0; i < ids.count(); ++i) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    ids.set_number(i, static_cast<double>((state >> 33) % kVocabulary));
  }
  return ids;
}

struct Outcome {
  std::vector<double> losses, norms;
  TensorMap state;
  uint64_t bytes = 0;
};

struct Setting {
  const char* model = "student.mlpackage";
  const char* teacher = nullptr;
  int64_t rows = 4;
  int parts = 1, steps = 2;  // batches per step
  bool recompute = false;
};

Outcome train(const Setting& s, uint64_t memory) {
  StudentOptions options;
  options.memory = memory;
  options.recompute = s.recompute;
  options.clip_norm = 1;
  StudentModel student(CoreMLModelWrapper::load(example(s.model)), options);
  if (s.teacher != nullptr) student.set_teacher(CoreMLModelWrapper::load(example(s.teacher)));
  Outcome outcome;
  for (int step = 0; step < s.steps; ++step) {
    std::vector<Batch> batches;
    for (int part = 0; part < s.parts; ++part) {
      const auto seed = static_cast<uint64_t>(2 * (step * s.parts + part));
      batches.emplace_back(tokens(s.rows, seed), tokens(s.rows, seed + 1));
    }
    const StepResult result = student.training_step(batches);
    outcome.losses.push_back(result.loss);
    outcome.norms.push_back(result.grad_norm);
  }
  outcome.state = student.state();
  outcome.bytes = student.step_bytes();
  return outcome;
}

// Weights and both moments of AdamW.
uint64_t fixed_bytes(const Outcome& outcome) {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : outcome.state) bytes += tensor.nbytes();
  return static_cast<uint64_t>(bytes);
}

void expect_same_bits(const Outcome& got, const Outcome& want) {
  EXPECT_EQ(got.losses, want.losses);
  EXPECT_EQ(got.norms, want.norms);
  ASSERT_EQ(got.state.size(), want.state.size());
  for (const auto& [name, tensor] : want.state) {
    const Tensor& other = got.state.at(name);
    EXPECT_EQ(std::memcmp(other.raw(), tensor.raw(), static_cast<size_t>(tensor.nbytes())), 0)
        << name;
  }
}

// A step that may keep `part` of what it takes beside weights and moments.
void expect_same_training(const Setting& setting, double part) {
  const Outcome whole = train(setting, 0);
  const uint64_t fixed = fixed_bytes(whole);
  ASSERT_GT(whole.bytes, fixed);
  const uint64_t budget =
      fixed + static_cast<uint64_t>(part * static_cast<double>(whole.bytes - fixed));
  const Outcome less = train(setting, budget);
  EXPECT_LE(less.bytes, budget);
  EXPECT_GT(less.bytes, fixed);
  expect_same_bits(less, whole);
}

TEST(TrainingMemory, half_of_the_activations_give_the_same_bits) {
  expect_same_training({.model = "model.mlpackage", .rows = 16, .steps = 5}, 0.5);
}

TEST(TrainingMemory, distillation_gives_the_same_bits_in_less) {
  expect_same_training({.teacher = "model.mlpackage", .rows = 8}, 0.7);
}

TEST(TrainingMemory, a_batch_in_parts_gives_the_same_bits_in_less) {
  expect_same_training({.rows = 8, .parts = 2}, 0.7);
}

TEST(TrainingMemory, what_fits_is_left_alone) {
  const Outcome whole = train({}, 0);
  const Outcome roomy = train({}, whole.bytes);
  EXPECT_EQ(roomy.bytes, whole.bytes);
  expect_same_bits(roomy, whole);
}

TEST(TrainingMemory, as_little_as_can_be_gives_the_same_bits) {
  const Outcome whole = train({.rows = 8}, 0), least = train({.rows = 8, .recompute = true}, 0);
  expect_same_bits(least, whole);
  const uint64_t fixed = fixed_bytes(whole);
  EXPECT_LT(least.bytes - fixed, (whole.bytes - fixed) * 7 / 10);
  // Nothing less can be had.
  (void)testing::error_of([&] { (void)train({.rows = 8}, least.bytes * 9 / 10); },
                          ErrorCode::kInvalidArgument);
}

TEST(TrainingMemory, gradients_alone_are_the_same_bits) {
  const auto model = CoreMLModelWrapper::load(example("student.mlpackage"));
  const Batch batch(tokens(4, 1), tokens(4, 2));
  StudentModel whole(model);
  const TensorMap want = whole.backward(batch);
  StudentOptions options;
  options.memory = whole.step_bytes() * 8 / 10;
  StudentModel less(model, options);
  const TensorMap got = less.backward(batch);
  EXPECT_LT(less.step_bytes(), whole.step_bytes());
  for (const auto& [name, tensor] : want) {
    EXPECT_EQ(std::memcmp(got.at(name).raw(), tensor.raw(), static_cast<size_t>(tensor.nbytes())),
              0)
        << name;
  }
}

TEST(TrainingMemory, a_budget_that_is_too_small_is_refused_with_what_it_takes) {
  const std::string error =
      testing::error_of([] { (void)train({}, 1 << 20); }, ErrorCode::kInvalidArgument);
  const std::string before = "memory: expected at least ";
  const size_t at = error.find(before);
  ASSERT_NE(at, std::string::npos) << error;
  EXPECT_NE(error.find("got 1.0 MB; a smaller batch takes less, and so does a batch in parts "
                       "(accumulate)"),
            std::string::npos)
      << error;
  const double least = std::stod(error.substr(at + before.size())) * 1e6;
  const Outcome fits = train({}, static_cast<uint64_t>(least + 1e5));
  EXPECT_LE(fits.bytes, static_cast<uint64_t>(least + 1e5));
}

TEST(TrainingMemory, is_refused_where_ops_run_one_by_one) {
  StudentOptions options;
  options.memory = 1 << 30;
  options.naive = true;
  StudentModel student(CoreMLModelWrapper::load(example("student.mlpackage")), options);
  const std::string error = testing::error_of(
      [&] {
        (void)student.training_step({tokens(4, 1), tokens(4, 2)});
      },
      ErrorCode::kInvalidArgument);
  EXPECT_NE(error.find("memory: expected no limit where a program is computed op by op"),
            std::string::npos)
      << error;
  EXPECT_EQ(student.step_bytes(), 0U);
}

}  // namespace
}  // namespace mw
