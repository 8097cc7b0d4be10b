// Signals wait while a computation runs, and reach none of its threads.
#include "base/signals.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <csignal>

#include "base/parallel.h"

namespace mw {
namespace {

volatile std::sig_atomic_t g_caught = 0;

class Signals : public ::testing::Test {
 protected:
  void SetUp() override {
    g_caught = 0;
    struct sigaction action = {};
    action.sa_handler = [](int) { g_caught = g_caught + 1; };
    sigaction(SIGUSR1, &action, &before_);
  }
  void TearDown() override { sigaction(SIGUSR1, &before_, nullptr); }

 private:
  struct sigaction before_ = {};
};

bool blocks(int signal) {
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  return sigismember(&mask, signal) == 1;
}

TEST_F(Signals, wait_until_the_outermost_holder_is_gone) {
  {
    const SignalsHeld outer;
    {
      const SignalsHeld inner;
      kill(getpid(), SIGUSR1);
    }
    EXPECT_EQ(g_caught, 0);
    EXPECT_TRUE(blocks(SIGINT));
    EXPECT_FALSE(blocks(SIGBUS));
  }
  EXPECT_EQ(g_caught, 1);
  EXPECT_FALSE(blocks(SIGINT));
}

TEST_F(Signals, are_delivered_between_kernels_of_a_long_computation) {
  const SignalsHeld held;
  kill(getpid(), SIGUSR1);
  while (g_caught == 0) SignalsHeld::deliver();
  EXPECT_TRUE(blocks(SIGINT));
}

TEST_F(Signals, reach_no_thread_of_a_parallel_loop) {
  std::atomic<int> open{0};
  parallel_for(64, 1, [&](int64_t, int64_t) { open += blocks(SIGUSR1) ? 0 : 1; });
  EXPECT_EQ(open, thread_count() == 1 ? 64 : 0);
}

}  // namespace
}  // namespace mw
