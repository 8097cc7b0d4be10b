// next_random(): the generator behind everything that a seed decides, data and tests alike.
#pragma once

#include <cstdint>

namespace mw {

// Steele, Lea and Flood 2014: splitmix64.
inline uint64_t next_random(uint64_t& state) {
  uint64_t z = (state += 0x9E3779B97F4A7C15ULL);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

// In [0, 1).
inline double next_uniform(uint64_t& state) {
  return static_cast<double>(next_random(state) >> 11) * 0x1p-53;
}

}  // namespace mw
