// SignalsHeld: no handler of a signal interrupts this thread, or a thread that it starts.
//
// Kernels of a library may move the stack pointer into memory of theirs, as oneDNN's matrix
// products do on processors without AVX-512. The frame of a handler that the system calls there is
// written over whatever lies below, which need not be a stack.
#pragma once

namespace mw {

// Signals that come from outside wait while one lives; those that an instruction raises (SIGSEGV,
// SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT) do not. One within another does nothing.
class SignalsHeld {
 public:
  SignalsHeld();
  ~SignalsHeld();
  SignalsHeld(const SignalsHeld&) = delete;
  SignalsHeld& operator=(const SignalsHeld&) = delete;

  // Between two kernels: what has waited for some milliseconds is delivered now.
  static void deliver();
};

}  // namespace mw
