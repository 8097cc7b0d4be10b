// Bits are compared, so any dtype will do.
#include "cpu/zero_rows.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace mw::cpu {
namespace {

constexpr int64_t kLongKeys = 128;

bool is_zero(const std::byte* bytes, int64_t count) {
  constexpr int64_t kBlock = 64;
  int64_t at = 0;
  for (; at + kBlock <= count; at += kBlock) {
    uint64_t words[kBlock / 8], any = 0;
    std::memcpy(words, bytes + at, kBlock);
    for (const uint64_t word : words) any |= word;
    if (any != 0) return false;
  }
  for (; at < count; ++at) {
    if (bytes[at] != std::byte{0}) return false;
  }
  return true;
}

}  // namespace

int64_t rows_before_zeros(StoredRows rows, int64_t count, int64_t width) {
  const int64_t item = bytes_of(rows.dtype, 1);
  const auto* data = static_cast<const std::byte*>(rows.data);
  while (count > 0 && is_zero(data + (count - 1) * rows.stride * item, width * item)) --count;
  return count;
}

int64_t keys_before_zeros(StoredRows keys, int64_t depth, StoredRows values, int64_t width,
                          int64_t count) {
  if (count < kLongKeys) return count;
  return std::max(
      {rows_before_zeros(values, count, width), rows_before_zeros(keys, count, depth), int64_t{1}});
}

}  // namespace mw::cpu
