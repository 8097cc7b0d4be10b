// What the machine has and what the group of this process allows, taken together.
#include "base/memory.h"

#include <algorithm>

#include "base/error.h"
#include "base/os.h"
#include "base/quantity_text.h"

namespace mw {

int64_t total_memory() {
  static const int64_t kTotal = std::min(os::memory_group().limit, os::machine_memory());
  return kTotal;
}

int64_t available_in(const MemoryGroup& group, int64_t machine) {
  if (group.limit >= machine && group.limit - machine >= group.used) return machine;
  const int64_t held = std::max<int64_t>(group.used - std::max<int64_t>(group.cached, 0), 0);
  return std::clamp<int64_t>(group.limit - held, 0, machine);
}

int64_t available_memory() {
  const int64_t machine = os::free_machine_memory();
  const MemoryGroup group = os::memory_group();
  return group.limit == os::kUnlimited ? machine : available_in(group, machine);
}

void expect_memory(int64_t bytes, std::string_view what) {
  const int64_t available = available_memory();
  if (bytes <= available) return;
  fail(ErrorCode::kOutOfMemory, "{} needs {}, of which {} are available", what, memory_text(bytes),
       memory_text(available));
}

}  // namespace mw
