// For tests: how the work of something grows with its size, in processor time of this thread. What
// else the machine does hardly changes that, and cannot change it by the size's own factor.
#pragma once

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <limits>

namespace mw::testing {

inline double thread_seconds() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

constexpr int kGrowthFactor = 32;
// What growth() may give for work that is linear in its size: caches and page faults count, too.
// Quadratic work would give kGrowthFactor squared.
constexpr double kLinearGrowth = 8.0 * kGrowthFactor;

// The time that run(kGrowthFactor) takes in those of run(1), each the least of several, in turns.
template <class Run>
double growth(Run&& run) {
  constexpr int kTurns = 3;
  double small = std::numeric_limits<double>::infinity(), large = small;
  const auto least = [&](double& best, int size) {
    const double start = thread_seconds();
    run(size);
    best = std::min(best, thread_seconds() - start);
  };
  for (int turn = 0; turn < kTurns; ++turn) {
    for (int i = 0; i < kTurns; ++i) least(small, 1);
    least(large, kGrowthFactor);
  }
  return large / small;
}

}  // namespace mw::testing
