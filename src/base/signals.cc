// One mask for each thread, changed by the outermost of its holders.
#include "base/signals.h"

#include <pthread.h>

#include <csignal>
#include <cstdint>
#include <ctime>
#include <initializer_list>

namespace mw {
namespace {

constexpr int64_t kPatience = 20;  // milliseconds

thread_local int t_holders = 0;
thread_local sigset_t t_before;
thread_local int64_t t_held_since = 0;

int64_t milliseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void hold() {
  static const sigset_t kAsynchronous = [] {
    sigset_t set;
    sigfillset(&set);
    for (const int raised : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT}) {
      sigdelset(&set, raised);
    }
    return set;
  }();
  pthread_sigmask(SIG_BLOCK, &kAsynchronous, &t_before);
  t_held_since = milliseconds();
}

void release() { pthread_sigmask(SIG_SETMASK, &t_before, nullptr); }

}  // namespace

SignalsHeld::SignalsHeld() {
  if (t_holders++ == 0) hold();
}

SignalsHeld::~SignalsHeld() {
  if (--t_holders == 0) release();
}

void SignalsHeld::deliver() {
  if (t_holders == 0 || milliseconds() - t_held_since < kPatience) return;
  release();
  hold();
}

}  // namespace mw
