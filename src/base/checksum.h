// Checksum: 64 bits over a sequence of bytes; finds damage, resists no attacker.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace mw {

// Every 8 bytes are mixed in by a bijection, so no change of a single word goes unseen. The bytes
// of one add() are padded with zeros to whole words; its length counts, too.
class Checksum {
 public:
  Checksum& add(const void* data, size_t size) {
    const char* at = static_cast<const char*>(data);
    mix(size);
    for (; size >= 8; size -= 8, at += 8) mix(word(at, 8));
    if (size > 0) mix(word(at, size));
    return *this;
  }
  Checksum& add(std::string_view text) { return add(text.data(), text.size()); }
  Checksum& add(int64_t number) { return add(&number, sizeof number); }

  [[nodiscard]] uint64_t value() const { return value_; }

 private:
  static uint64_t word(const char* at, size_t size) {
    uint64_t w = 0;
    std::memcpy(&w, at, size);
    return w;
  }
  void mix(uint64_t w) {
    value_ = (value_ ^ w) * 0x9E3779B97F4A7C15ULL;
    value_ ^= value_ >> 29;
  }

  uint64_t value_ = 0x6D696C6C77726974ULL;
};

}  // namespace mw
