// That memory of results comes back, for which results, and how much of it stays.
#include "exec/output_pool.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "base/memory_checks.h"

namespace mw::exec {
namespace {

constexpr int64_t kBytes = int64_t{8} << 20;

class OutputMemory : public testing::Test {
 protected:
  void SetUp() override {
    if (kSanitized || poison_mode() != Poison::kNone || guard_mode() != Guard::kNone) {
      GTEST_SKIP() << "each tensor has memory of its own where memory is checked";
    }
  }
  Tensor take(Shape shape = {kBytes}, DType dtype = DType::kU8) {
    return std::move(pool_.take({{dtype, std::move(shape)}})[0]);
  }

  OutputPool pool_;
};

TEST_F(OutputMemory, comes_back_when_the_last_tensor_over_it_is_gone) {
  Tensor first = take();
  const void* const memory = first.raw();
  std::optional<Tensor> second = first;
  first = {};
  EXPECT_EQ(pool_.idle_bytes(), 0);
  second.reset();
  EXPECT_EQ(pool_.idle_bytes(), kBytes);
  first = take({kBytes / 4 / 1024, 1024}, DType::kF32);
  EXPECT_EQ(first.raw(), memory);
  EXPECT_EQ(first.owner().use_count(), 1);
  EXPECT_EQ(first.dtype(), DType::kF32);
  EXPECT_EQ(first.shape(), (Shape{kBytes / 4 / 1024, 1024}));
  EXPECT_EQ(pool_.idle_bytes(), 0);
  EXPECT_NE(take().raw(), memory);
}

TEST_F(OutputMemory, serves_results_that_grow_by_a_row) {
  const void* const memory = take({1100, 1024 * 7}).raw();
  EXPECT_EQ(take({1101, 1024 * 7}).raw(), memory);
}

TEST_F(OutputMemory, is_not_kept_beyond_what_one_run_takes) {
  std::vector<Tensor> held;
  for (int i = 0; i < 5; ++i) held.push_back(take());
  held.clear();
  EXPECT_EQ(pool_.idle_bytes(), kBytes);
}

TEST_F(OutputMemory, of_another_size_is_freed) {
  take();
  EXPECT_EQ(pool_.idle_bytes(), kBytes);
  const Tensor small = take({kBytes / 2});
  EXPECT_EQ(pool_.idle_bytes(), 0);
}

TEST_F(OutputMemory, that_lies_idle_anywhere_is_freed_before_new_memory_is_asked_for) {
  OutputPool other;
  (void)other.take({{DType::kU8, {kBytes}}});
  EXPECT_EQ(other.idle_bytes(), kBytes);
  Tensor mine = take();
  EXPECT_EQ(other.idle_bytes(), 0);
  mine = {};
  (void)other.take({{DType::kU8, {kBytes}}});
  EXPECT_EQ(pool_.idle_bytes(), 0);
  mine = take();
  mine = {};
  (void)other.take({{DType::kU8, {1000}}});  // no memory of the system
  EXPECT_EQ(pool_.idle_bytes(), kBytes);
}

TEST_F(OutputMemory, of_small_results_is_the_allocators) {
  take({1000});
  EXPECT_EQ(pool_.idle_bytes(), 0);
}

TEST_F(OutputMemory, outlives_the_pool_in_a_tensor) {
  Tensor left;
  {
    OutputPool pool;
    left = std::move(pool.take({{DType::kU8, {kBytes}}})[0]);
  }
  left.mutable_data<uint8_t>()[kBytes - 1] = 7;
  EXPECT_EQ(left.number_at(kBytes - 1), 7);
}

}  // namespace
}  // namespace mw::exec
