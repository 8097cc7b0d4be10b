// What a computation on several threads needs to know: can they be started, and is this a process
// that fork() left without them?
#pragma once

namespace mw {

// Lives as long as a computation. Its threads do not survive fork(); those of the forking thread
// are given back before, so that both processes start their own. A child that was forked while
// another thread was computing may find locks that nobody will open again: there the constructor
// throws invalid_argument. It throws out_of_memory where the system does not start `threads`.
class Computation {
 public:
  explicit Computation(int threads);
  ~Computation();
  Computation(const Computation&) = delete;
  Computation& operator=(const Computation&) = delete;
};

// The first of these checks alone, for callers that take a lock before they compute.
void expect_usable_after_fork();

}  // namespace mw
