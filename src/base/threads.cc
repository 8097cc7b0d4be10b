// fork() handlers, and threads started on trial.
#include "base/threads.h"

#include <omp.h>
#include <pthread.h>

#include <atomic>
#include <latch>
#include <system_error>
#include <thread>
#include <vector>

#include "base/error.h"

namespace mw {
namespace {

std::atomic<int> g_computations{0};
std::atomic<bool> g_orphaned{false};
thread_local int t_computations = 0;

// The runtime's threads would be missing in the child, which would wait for them for ever.
void before_fork() {
  if (omp_in_parallel() == 0) omp_pause_resource_all(omp_pause_soft);
}

void in_child() {
  if (g_computations.load() > t_computations) g_orphaned.store(true);
  g_computations.store(t_computations);
}

[[maybe_unused]] const int kHandlers = pthread_atfork(before_fork, nullptr, in_child);

// The runtime ends the process when a thread cannot be started, so they are started here first.
void expect_startable(int threads) {
  static std::atomic<int> proven{1};
  if (threads <= proven.load()) return;
  std::latch done(1);
  std::vector<std::thread> started;
  bool all = true;
  try {
    started.reserve(static_cast<size_t>(threads));
    while (static_cast<int>(started.size()) + 1 < threads) {
      started.emplace_back([&done] { done.wait(); });
    }
  } catch (const std::exception&) {
    all = false;
  }
  done.count_down();
  for (std::thread& thread : started) thread.join();
  if (!all) {
    fail(ErrorCode::kOutOfMemory,
         "threads: the system starts {} of {}; ask for fewer ({}, OMP_NUM_THREADS)",
         started.size() + 1, threads, setting("threads"));
  }
  proven.store(threads);
}

}  // namespace

void expect_usable_after_fork() {
  if (!g_orphaned.load()) return;
  fail(ErrorCode::kInvalidArgument,
       "this process was forked while another thread was computing; start it with the method "
       "'spawn' instead of 'fork'");
}

Computation::Computation(int threads) {
  expect_usable_after_fork();
  expect_startable(threads);
  ++g_computations;
  ++t_computations;
}

Computation::~Computation() {
  --g_computations;
  --t_computations;
}

}  // namespace mw
