// Small tensors from the allocator, large ones in pages of their own.
#include "base/tensor_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>
#include <utility>

#include "base/error.h"
#include "base/memory.h"
#include "base/memory_checks.h"
#include "base/os.h"

namespace mw {
namespace {

// The memory left is looked up once for so many bytes, of one tensor or of many.
constexpr int64_t kLarge = int64_t{64} << 20;

// So many bytes and more are zero pages that take no memory until they are written.
constexpr int64_t kLazy = int64_t{1} << 20;

// So many may be pages of 2 MiB.
constexpr int64_t kLargePages = int64_t{4} << 20;

[[noreturn]] void fail_to_allocate(size_t bytes, const Shape& shape) {
  fail(ErrorCode::kOutOfMemory, "cannot allocate {} bytes for a tensor {}", bytes,
       to_string(shape));
}

// Null when there are none.
std::shared_ptr<const void> zero_pages(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  return {memory, [bytes](const void* p) { munmap(const_cast<void*>(p), bytes); }};
}

}  // namespace

void expect_memory_for(int64_t nbytes, const Shape& shape) {
  static std::atomic<int64_t> unchecked{0};
  if (unchecked.fetch_add(nbytes, std::memory_order_relaxed) + nbytes <= kLarge) return;
  unchecked.store(0, std::memory_order_relaxed);
  expect_memory(nbytes, "a tensor " + to_string(shape));
}

TensorMemory tensor_memory(int64_t nbytes, const Shape& shape, Fill fill) {
  expect_memory_for(nbytes, shape);
  if (guard_mode() != Guard::kNone) {
    auto memory = guarded_memory(guard_mode(), nbytes);
    void* data = memory.get();
    return {std::move(memory), data};
  }
  const auto bytes = static_cast<size_t>(std::max<int64_t>(nbytes, 1));
  const Poison mode = poison_mode();
  if (nbytes >= kLazy && mode == Poison::kNone && !kSanitized) {
    auto pages = zero_pages(bytes);
    if (pages == nullptr) fail_to_allocate(bytes, shape);
    void* data = const_cast<void*>(pages.get());
    if (fill == Fill::kNothing && nbytes >= kLargePages) os::prefer_huge_pages(data, bytes);
    return {std::move(pages), data};
  }
  constexpr std::align_val_t kAlign{64};
  void* memory = ::operator new(bytes, kAlign, std::nothrow);
  if (memory == nullptr) fail_to_allocate(bytes, shape);
  if (fill == Fill::kZeros) std::memset(memory, 0, bytes);
  if (mode == Poison::kNone) {
    return {std::shared_ptr<const void>(memory, [](void* p) { ::operator delete(p, kAlign); }),
            memory};
  }
  if (fill == Fill::kNothing) fill_with(mode, memory, nbytes);
  return {std::shared_ptr<const void>(memory,
                                      [mode, bytes](void* p) {
                                        spoil(mode, p, static_cast<int64_t>(bytes));
                                        ::operator delete(p, kAlign);
                                      }),
          memory};
}

Tensor zeros_in_large_pages(DType dtype, const Shape& shape) {
  Tensor zeros(dtype, shape);
  const int64_t bytes = zeros.nbytes();
  if (bytes >= kLargePages) {
    os::prefer_huge_pages(zeros.mutable_raw(), static_cast<size_t>(bytes));
  }
  return zeros;
}

}  // namespace mw
