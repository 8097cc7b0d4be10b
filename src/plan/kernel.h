// Kernel: one step's computation, made for fixed shapes; Frame: where the buffers of one run lie.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "plan/place.h"

namespace mw::plan {

// Addresses of all buffers of a plan during one run.
class Frame {
 public:
  [[nodiscard]] std::byte* at(const Ref& ref) const {
    return bases_[static_cast<size_t>(ref.buffer)] + ref.offset;
  }
  template <class T>
  [[nodiscard]] T* as(const Ref& ref) const {
    return reinterpret_cast<T*>(at(ref));
  }

  void resize(size_t buffers) { bases_.resize(buffers); }
  void bind(size_t buffer, const void* base) {
    bases_[buffer] = static_cast<std::byte*>(const_cast<void*>(base));
  }

 private:
  std::vector<std::byte*> bases_;
};

// Immutable once made; run() may be called from several threads, each with a frame of its own.
// It must not allocate.
class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual void run(const Frame& frame) const = 0;
};

}  // namespace mw::plan
