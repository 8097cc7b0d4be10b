// That memory holds a pattern when it is given back: this binary looks at what it frees.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <new>

#include "exec/run.h"
#include "ir/tensor_list.h"

namespace {

// Before the first tensor: the variable is read once.
const int g_set = setenv("MW_POISON", "1", 1);

const void* g_watched = nullptr;
uint64_t g_seen = 0;

void release(void* memory) {
  if (memory != nullptr && memory == g_watched) std::memcpy(&g_seen, memory, sizeof(g_seen));
  std::free(memory);
}

void* allocate(std::size_t size, std::align_val_t align) {
  const auto to = static_cast<std::size_t>(align);
  return std::aligned_alloc(to, (size + to - 1) / to * to);
}

}  // namespace

void* operator new(std::size_t size, std::align_val_t align) {
  void* memory = allocate(size, align);
  if (memory == nullptr) std::abort();
  return memory;
}
void* operator new(std::size_t size, std::align_val_t align, const std::nothrow_t&) noexcept {
  return allocate(size, align);
}
void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }

namespace mw::exec {
namespace {

constexpr uint64_t kPattern = 0x7FF47FF47FF47FF4;

uint64_t seen_when_freed(const void* memory, const std::function<void()>& free) {
  g_watched = memory;
  g_seen = 0;
  free();
  g_watched = nullptr;
  return g_seen;
}

TEST(DeadMemory, a_tensor_is_overwritten_with_its_last_owner_and_not_before) {
  Tensor tensor = Tensor::from<float>({1, 2, 3, 4}, {4}), other = tensor;
  const void* memory = tensor.raw();
  EXPECT_EQ(seen_when_freed(memory, [&] { tensor = {}; }), 0U);
  EXPECT_EQ(other.number_at(3), 4);
  EXPECT_EQ(seen_when_freed(memory, [&] { other = {}; }), kPattern);
}

// What an op puts into a list shows memory of the run, and is copied there.
TEST(DeadMemory, an_element_is_overwritten_with_the_last_list_that_holds_it) {
  const std::vector<float> arena = {1, 2, 3, 4};
  const Tensor shown(DType::kF32, {4}, borrowed_owner(), arena.data());
  ir::TensorList first = ir::TensorList().with(0, owned(shown)),
                 second = first.with(1, owned(shown));
  const void* memory = first[0].raw();
  ASSERT_NE(memory, arena.data());
  EXPECT_EQ(seen_when_freed(memory, [&] { first = {}; }), 0U);
  EXPECT_EQ(second[0].number_at(3), 4);
  EXPECT_EQ(seen_when_freed(memory, [&] { second = {}; }), kPattern);
}

}  // namespace
}  // namespace mw::exec
