// For tests: what a body of code takes from the allocator and from the system. Defines operator new
// and delete: included by one file of a program, and by none that runs with a sanitizer, which
// changes both.
#pragma once

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <new>

namespace mw::testing {

// Of operator new; what C libraries take for themselves is not among it.
struct Taken {
  int64_t allocations = 0, bytes = 0;
  int64_t large = 0;  // allocations of kLargeAllocation and more
  int64_t faults =
      0;  // pages that the system mapped: of memory that was not there before, above all
};
constexpr int64_t kLargeAllocation = int64_t{64} << 10;

inline std::atomic<bool> g_counting{false};
inline std::atomic<int64_t> g_allocations{0}, g_bytes{0}, g_large{0};

inline int64_t minor_faults() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

template <class Body>
Taken taken_by(const Body& body) {
  g_allocations = g_bytes = g_large = 0;
  const int64_t before = minor_faults();
  g_counting = true;
  body();
  g_counting = false;
  return {g_allocations, g_bytes, g_large, minor_faults() - before};
}

// The least of each over several turns, after some to begin with: what a repeated body takes.
template <class Body>
Taken taken_by_each(const Body& body) {
  constexpr int kFirst = 3, kTurns = 5;
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  for (int i = 0; i < kFirst; ++i) body();
  Taken least = {kMost, kMost, kMost, kMost};
  for (int i = 0; i < kTurns; ++i) {
    const Taken taken = taken_by(body);
    least.allocations = std::min(least.allocations, taken.allocations);
    least.bytes = std::min(least.bytes, taken.bytes);
    least.large = std::min(least.large, taken.large);
    least.faults = std::min(least.faults, taken.faults);
  }
  return least;
}

inline void* counted_memory(std::size_t size, std::size_t align) {
  if (g_counting) {
    ++g_allocations;
    g_bytes += static_cast<int64_t>(size);
    if (static_cast<int64_t>(size) >= kLargeAllocation) ++g_large;
  }
  void* memory = std::aligned_alloc(align, (size + align - 1) / align * align);
  if (memory == nullptr) std::abort();
  return memory;
}

}  // namespace mw::testing

// NOLINTBEGIN(misc-definitions-in-headers): of one file of a program
void* operator new(std::size_t size) { return mw::testing::counted_memory(size, 16); }
void* operator new(std::size_t size, std::align_val_t align) {
  return mw::testing::counted_memory(size, static_cast<std::size_t>(align));
}
void* operator new(std::size_t size, std::align_val_t align, const std::nothrow_t&) noexcept {
  return mw::testing::counted_memory(size, static_cast<std::size_t>(align));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
// NOLINTEND(misc-definitions-in-headers)
