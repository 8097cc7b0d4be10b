// parallel_for over the OpenMP runtime that the GEMM library uses too.
#pragma once

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>

#include "base/signals.h"

namespace mw {

// Threads that parallel regions started from this thread use.
inline int thread_count() { return omp_get_max_threads(); }
inline void set_thread_count(int threads) { omp_set_num_threads(std::max(threads, 1)); }

// Calls body(begin, end) over a partition of [0, count) into blocks of `grain` (the last may be
// shorter). Blocks depend on count and grain alone, so per-block partial results are the same for
// any number of threads. The first exception of a block is rethrown here.
template <class Body>
void parallel_for(int64_t count, int64_t grain, const Body& body) {
  if (count <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  const int64_t blocks = (count + grain - 1) / grain;
  if (blocks == 1 || omp_in_parallel() || thread_count() == 1) {
    for (int64_t b = 0; b < blocks; ++b) body(b * grain, std::min(count, (b + 1) * grain));
    return;
  }
  const SignalsHeld held;  // the threads that are started keep this thread's mask
  std::exception_ptr thrown;
  std::atomic_flag taken = ATOMIC_FLAG_INIT;
#pragma omp parallel for schedule(static)
  for (int64_t b = 0; b < blocks; ++b) {
    try {
      body(b * grain, std::min(count, (b + 1) * grain));
    } catch (...) {
      if (!taken.test_and_set()) thrown = std::current_exception();
    }
  }
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace mw
