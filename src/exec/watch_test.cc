// Tests of memory that shows who reads it wrongly: each kind of wrong read is made, and shows.
#include "exec/watch.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "exec/run.h"
#include "plan/backend_testing.h"

namespace mw::exec {
namespace {

using plan::Buffer;

constexpr int64_t kCount = 5;  // floats per value: no multiple of what a vector holds

// y[i] = x[i + shift]
class Copy : public plan::Kernel {
 public:
  Copy(int from, int to, int64_t shift) : from_(from), to_(to), shift_(shift) {}
  void run(const plan::Frame& frame) const override {
    const volatile auto* x = frame.as<float>({from_, 0});
    auto* y = frame.as<float>({to_, 0});
    for (int64_t i = 0; i < kCount; ++i) y[i] = x[i + shift_];
  }

 private:
  int from_, to_;
  int64_t shift_;
};

struct Reads {
  int from;  // what the last step reads, and says it reads
  int64_t shift = 0;
  bool says_so = true;
};

// input 0 -> 1 -> 2 -> output 3, where the last step may read something else.
std::shared_ptr<plan::Plan> chain(const Reads& last) {
  static const plan::ReferenceBackend kBackend;
  auto plan = std::make_shared<plan::Plan>();
  plan->backend = &kBackend;
  plan->buffers.resize(4);
  for (Buffer& buffer : plan->buffers) buffer.bytes = kCount * 4;
  plan->buffers[0].kind = Buffer::Kind::kInput;
  plan->buffers[3].kind = Buffer::Kind::kOutput;
  for (int step = 0; step < 3; ++step) {
    plan::Step& made = plan->steps.emplace_back();
    made.reads = {step};
    made.writes = {step + 1};
    if (step < 2) made.kernel = std::make_shared<Copy>(step, step + 1, 0);
  }
  plan->steps[2].kernel = std::make_shared<Copy>(last.from, 3, last.shift);
  if (last.says_so) plan->steps[2].reads = {last.from};
  const auto where = [](int buffer) {
    plan::Where found;
    found.kind = plan::Where::Kind::kPlace;
    found.place = {{buffer, 0}, DType::kF32, {kCount}, {1}};
    return found;
  };
  plan->inputs.emplace_back().where = where(0);
  plan->outputs.push_back({"y", ir::Type::tensor(DType::kF32, {kCount}), where(3)});
  plan::assign_memory(*plan, nullptr);
  return plan;
}

Tensor run(const std::shared_ptr<plan::Plan>& plan, bool poison) {
  const RunSettings settings{.poison = poison};
  Run run(plan, settings);
  const Arena arena(plan::host_memory(), plan->layout->arena_bytes);
  const Tensor x = Tensor::from<float>({1, 2, 3, 4, 5}, {kCount});
  std::vector<ir::Datum> outputs;
  int64_t blocks = 0;
  run.execute(arena, {{&x, nullptr}}, outputs, blocks);
  return outputs[0].tensor;
}

TEST(Watch, a_right_plan_gives_what_it_gives_without) {
  const Tensor expected = Tensor::from<float>({1, 2, 3, 4, 5}, {kCount});
  EXPECT_TRUE(bit_equal(run(chain({.from = 2}), false), expected));
  EXPECT_TRUE(bit_equal(run(chain({.from = 2}), true), expected));
}

// Buffer 1 dies after the second step; a step that reads it without saying so gets NaN.
TEST(Watch, a_dead_value_is_nan) {
  if (kSanitized) GTEST_SKIP() << "the sanitizer ends the process instead";
  const Tensor y = run(chain({.from = 1, .says_so = false}), true);
  for (const float number : y.values<float>()) EXPECT_TRUE(std::isnan(number));
}

class WatchDeath : public ::testing::Test {
 protected:
  // A process of its own, so that the environment is read anew.
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(WatchDeath, a_sanitizer_reports_what_a_step_does_not_say_it_reads) {
  if (!kSanitized) GTEST_SKIP() << "no sanitizer";
  EXPECT_DEATH(run(chain({.from = 1, .says_so = false}), false), "use-after-poison");
  EXPECT_DEATH(run(chain({.from = 2, .shift = 1}), false), "use-after-poison");
  EXPECT_DEATH(run(chain({.from = 2, .shift = -1}), false), "use-after-poison");
}

void run_with(const char* guard, int64_t shift) {
  setenv("MW_GUARD", guard, 1);
  (void)run(chain({.from = 2, .shift = shift}), false);
  _exit(0);
}

TEST_F(WatchDeath, reads_outside_of_guarded_memory_end_the_process) {
  if (kSanitized) GTEST_SKIP() << "the sanitizer is first";
  constexpr int64_t kAligned = 16;  // floats in 64 bytes
  EXPECT_EXIT(run_with("1", kAligned), testing::KilledBySignal(SIGSEGV), "");
  EXPECT_EXIT(run_with("exact", 1), testing::KilledBySignal(SIGSEGV), "");
  EXPECT_EXIT(run_with("start", -1), testing::KilledBySignal(SIGSEGV), "");
  for (const char* guard : {"1", "exact", "start"}) {
    EXPECT_EXIT(run_with(guard, 0), testing::ExitedWithCode(0), "") << guard;
  }
}

TEST_F(WatchDeath, inputs_and_outputs_are_guarded_like_what_lies_between) {
  if (kSanitized) GTEST_SKIP() << "the sanitizer is first";
  EXPECT_EXIT(
      {
        setenv("MW_GUARD", "exact", 1);
        (void)run(chain({.from = 0, .shift = 1}), false);
      },
      testing::KilledBySignal(SIGSEGV), "");
}

TEST_F(WatchDeath, an_unknown_value_of_a_variable_is_named) {
  EXPECT_EXIT(
      {
        setenv("MW_POISON", "yes", 1);
        try {
          (void)run(chain({.from = 2}), false);
        } catch (const Error& e) {
          fprintf(stderr, "%s\n", e.what());
          _exit(3);
        }
      },
      testing::ExitedWithCode(3), "MW_POISON: expected one of 0, 1, a5, got 'yes'");
}

void exit_with_first_output_bits(const char* poison) {
  setenv("MW_POISON", poison, 1);
  Tensor fresh(DType::kF32, {1});
  mw::poison(fresh);
  uint32_t bits = 0;
  std::memcpy(&bits, fresh.raw(), 4);
  fprintf(stderr, "%08x\n", bits);
  _exit(0);
}

TEST_F(WatchDeath, patterns_are_those_asked_for) {
  EXPECT_EXIT(exit_with_first_output_bits("1"), testing::ExitedWithCode(0), "7fa55aa5");
  EXPECT_EXIT(exit_with_first_output_bits("a5"), testing::ExitedWithCode(0), "a5a5a5a5");
  EXPECT_EXIT(exit_with_first_output_bits("0"), testing::ExitedWithCode(0), "00000000");
}

}  // namespace
}  // namespace mw::exec
