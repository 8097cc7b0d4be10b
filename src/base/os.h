// What is asked of the operating system beside C++ and POSIX. A port writes os_<system>.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

#include "base/memory.h"

namespace mw::os {

inline constexpr int64_t kUnlimited = INT64_MAX;

// Bytes of RAM and swap of the machine, and what is free of them; half of kUnlimited where the
// system does not say.
int64_t machine_memory();
int64_t free_machine_memory();
// What the group of processes that this one belongs to may have; limit kUnlimited: there is none.
MemoryGroup memory_group();
// Bytes of RAM that this process has in use; 0 where the system does not say.
int64_t resident_bytes();

// Processors that this process may run on.
int cores_allowed();
std::string processor_name();  // "unknown" where the system does not say

// Memory of 2 MiB and more may come in pages as large, where it holds whole ones: from a multiple
// of that on. Where the system has or wants none, it comes as it does.
void prefer_huge_pages(void* memory, size_t bytes);

enum class Exchange : uint8_t { kDone, kUnknown, kFailed };
// Trades two names atomically. kUnknown: the file system has no such call; kFailed: errno says why.
Exchange exchange_names(const std::filesystem::path& a, const std::filesystem::path& b);

// Runs this program again with the environment as it is now. Returns where that cannot be done.
void restart(char** argv);

}  // namespace mw::os
