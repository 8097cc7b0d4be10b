// Linux: /proc, control groups of version 2 and 1, renameat2, transparent huge pages.
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string_view>

#include "base/os.h"

namespace mw::os {
namespace {

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

int64_t machine_memory() {
  return kilobytes("MemTotal:", kUnlimited / 2) + kilobytes("SwapTotal:", 0);
}

int64_t free_machine_memory() {
  return kilobytes("MemAvailable:", kUnlimited / 2) + kilobytes("SwapFree:", 0);
}

MemoryGroup memory_group() {
  MemoryGroup group{group_limit(), 0, 0};
  if (group.limit == kUnlimited) return group;
  group.used = number_after("/sys/fs/cgroup/memory.current", "", -1);
  if (group.used >= 0) {
    group.cached = number_after("/sys/fs/cgroup/memory.stat", "file ", 0);
  } else {
    group.used = number_after("/sys/fs/cgroup/memory/memory.usage_in_bytes", "", 0);
    group.cached = number_after("/sys/fs/cgroup/memory/memory.stat", "total_cache ", 0);
  }
  return group;
}

int64_t resident_bytes() {
  int64_t pages = 0;
  if (std::FILE* file = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(file, "%*s %ld", &pages) != 1) pages = 0;
    std::fclose(file);
  }
  return pages * sysconf(_SC_PAGESIZE);
}

int cores_allowed() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
}

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (!line.starts_with("model name") || colon == std::string::npos) continue;
    const size_t first = line.find_first_not_of(" \t", colon + 1);
    return first == std::string::npos ? "" : line.substr(first);
  }
  return "unknown";
}

void prefer_huge_pages(void* memory, size_t bytes) { madvise(memory, bytes, MADV_HUGEPAGE); }

Exchange exchange_names(const std::filesystem::path& a, const std::filesystem::path& b) {
#ifdef RENAME_EXCHANGE
  if (::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0) {
    return Exchange::kDone;
  }
  return errno == EINVAL || errno == ENOSYS ? Exchange::kUnknown : Exchange::kFailed;
#else
  static_cast<void>(a);
  static_cast<void>(b);
  return Exchange::kUnknown;
#endif
}

void restart(char** argv) { execv("/proc/self/exe", argv); }

}  // namespace mw::os
