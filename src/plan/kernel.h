// Kernel: one step's computation, made for fixed shapes; Frame: where the buffers of one run lie,
// and the stream that its kernels work on.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "plan/place.h"

namespace mw::plan {

// What a device is given to do in one run, in order. Kernels and copies may return before what they
// started is done.
class Stream {
 public:
  Stream() = default;
  virtual ~Stream() = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Returns when all of it is done: at once where kernels return no earlier.
  virtual void wait() {}
};

// Addresses of all buffers of a plan during one run: in the memory of its device, which the host
// may not see.
class Frame {
 public:
  Frame(size_t buffers, Stream& stream) : bases_(buffers), stream_(stream) {}

  [[nodiscard]] Stream& stream() const { return stream_; }
  [[nodiscard]] std::byte* at(const Ref& ref) const {
    return bases_[static_cast<size_t>(ref.buffer)] + ref.offset;
  }
  template <class T>
  [[nodiscard]] T* as(const Ref& ref) const {
    return reinterpret_cast<T*>(at(ref));
  }

  void bind(size_t buffer, const void* base) {
    bases_[buffer] = static_cast<std::byte*>(const_cast<void*>(base));
  }

 private:
  std::vector<std::byte*> bases_;
  Stream& stream_;
};

// Immutable once made; run() may be called from several threads, each with a frame of its own.
// It must not allocate. What it starts it starts on the frame's stream.
class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual void run(const Frame& frame) const = 0;
};

}  // namespace mw::plan
