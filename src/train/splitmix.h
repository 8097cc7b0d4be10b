// next_random(): the generator behind everything in training that a seed decides.
#pragma once

#include <cstdint>

namespace mw::train {

// Steele, Lea and Flood 2014: splitmix64.
inline uint64_t next_random(uint64_t& state) {
  uint64_t z = (state += 0x9E3779B97F4A7C15ULL);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

}  // namespace mw::train
