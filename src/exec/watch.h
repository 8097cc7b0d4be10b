// Watch: planned memory that shows which step reads it too early, too late or beyond its end.
#pragma once

#include <memory>
#include <vector>

#include "base/memory_checks.h"
#include "plan/plan.h"

namespace mw::exec {

// Around the steps of one run at a time. Where memory is to be filled (MW_POISON), all of it is
// before the first step, and each buffer again after the last step that uses it. In sanitizer
// builds a step may touch the buffers that it says it reads and writes, up to their last byte,
// and nothing else of the arena. The plan outlives it.
class Watch {
 public:
  // Null where nothing is asked for, and for memory that the host does not see.
  static std::unique_ptr<Watch> make(const plan::Plan& plan, bool poison);

  void begin(const plan::Frame& frame);
  void before(size_t step, const plan::Frame& frame) const;
  void after(size_t step, const plan::Frame& frame) const;

 private:
  Watch(const plan::Plan& plan, Poison fill);
  [[nodiscard]] std::byte* at(int buffer, const plan::Frame& frame) const;
  [[nodiscard]] int64_t bytes_of(int buffer) const;

  const plan::Plan& plan_;
  Poison fill_;
  std::vector<int> arena_;               // all buffers of the arena that are used
  std::vector<std::vector<int>> touch_;  // of those, by step
  std::vector<std::vector<int>> end_;    // dead after a step, and not taken over
};

}  // namespace mw::exec
