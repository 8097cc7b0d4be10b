// Memory limits as the kernel reports them: /proc/meminfo and the control group, version 2 or 1.
#include "base/memory.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <string>

#include "base/error.h"
#include "base/quantity_text.h"

namespace mw {
namespace {

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

// The number after `key` in a file of lines "key number"; `missing` without one.
int64_t number_after(const char* path, std::string_view key, int64_t missing) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    const size_t digit = line.find_first_of("0123456789", key.size());
    if (digit == std::string::npos) return missing;
    const long long number = std::strtoll(line.c_str() + digit, nullptr, 10);
    return number < 0 ? missing : number;
  }
  return missing;
}

int64_t kilobytes(std::string_view key, int64_t missing) {
  const int64_t found = number_after("/proc/meminfo", key, -1);
  return found < 0 || found > kUnlimited / 1024 ? missing : found * 1024;
}

// `max` in the file stands for no limit.
int64_t group_limit() {
  const int64_t second = number_after("/sys/fs/cgroup/memory.max", "", kUnlimited);
  return std::min(second,
                  number_after("/sys/fs/cgroup/memory/memory.limit_in_bytes", "", kUnlimited));
}

}  // namespace

int64_t total_memory() {
  static const int64_t kTotal =
      std::min(group_limit(), kilobytes("MemTotal:", kUnlimited / 2) + kilobytes("SwapTotal:", 0));
  return kTotal;
}

int64_t available_in(const MemoryGroup& group, int64_t machine) {
  if (group.limit >= machine && group.limit - machine >= group.used) return machine;
  const int64_t held = std::max<int64_t>(group.used - std::max<int64_t>(group.cached, 0), 0);
  return std::clamp<int64_t>(group.limit - held, 0, machine);
}

int64_t available_memory() {
  const int64_t machine = kilobytes("MemAvailable:", kUnlimited / 2) + kilobytes("SwapFree:", 0);
  MemoryGroup group{group_limit(), 0, 0};
  if (group.limit == kUnlimited) return machine;
  group.used = number_after("/sys/fs/cgroup/memory.current", "", -1);
  if (group.used >= 0) {
    group.cached = number_after("/sys/fs/cgroup/memory.stat", "file ", 0);
  } else {
    group.used = number_after("/sys/fs/cgroup/memory/memory.usage_in_bytes", "", 0);
    group.cached = number_after("/sys/fs/cgroup/memory/memory.stat", "total_cache ", 0);
  }
  return available_in(group, machine);
}

void expect_memory(int64_t bytes, std::string_view what) {
  const int64_t available = available_memory();
  if (bytes <= available) return;
  fail(ErrorCode::kOutOfMemory, "{} needs {}, of which {} are available", what, memory_text(bytes),
       memory_text(available));
}

}  // namespace mw
