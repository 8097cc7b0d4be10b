// fetch_ahead(): asks for memory that will be read soon.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mw::cpu {

// Into the second level of cache; does nothing where there is no such memory.
inline void fetch_ahead(const std::byte* from, int64_t bytes) {
  constexpr int64_t kLine = 64;
  for (int64_t at = 0; at < bytes; at += kLine) __builtin_prefetch(from + at, 0, 2);
}

}  // namespace mw::cpu
