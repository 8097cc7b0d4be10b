// Conversions between float and fp16, bf16, fp8: generic over the number of exponent and mantissa
// bits.
#include "base/half.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

#include <bit>
#include <cmath>
#include <limits>

namespace mw {
namespace {

// Decodes a small float of `kExp` exponent and `kMan` mantissa bits (IEEE layout, bias
// 2^(kExp-1)-1).
template <int kExp, int kMan, bool kInfinite>
double decode(uint32_t bits) {
  constexpr int kBias = (1 << (kExp - 1)) - 1;
  const bool negative = (bits >> (kExp + kMan)) & 1;
  const auto exponent = static_cast<int>((bits >> kMan) & ((1u << kExp) - 1));
  const uint32_t mantissa = bits & ((1u << kMan) - 1);
  double magnitude;
  if (exponent == (1 << kExp) - 1 && (kInfinite || mantissa == (1u << kMan) - 1)) {
    magnitude = kInfinite && mantissa == 0 ? std::numeric_limits<double>::infinity()
                                           : std::numeric_limits<double>::quiet_NaN();
  } else if (exponent == 0) {
    magnitude = std::ldexp(static_cast<double>(mantissa), 1 - kBias - kMan);
  } else {
    magnitude = std::ldexp(static_cast<double>(mantissa | (1u << kMan)), exponent - kBias - kMan);
  }
  return negative ? -magnitude : magnitude;
}

// Rounds to nearest even once; overflow gives infinity, or the largest value where there is none.
template <int kExp, int kMan, bool kInfinite>
uint32_t encode(double value) {
  constexpr int kBias = (1 << (kExp - 1)) - 1;
  constexpr uint32_t kExpMask = (1u << kExp) - 1;
  const uint32_t sign = std::signbit(value) ? 1u << (kExp + kMan) : 0;
  if (std::isnan(value)) {
    return sign | (kExpMask << kMan) | (kInfinite ? 1u << (kMan - 1) : (1u << kMan) - 1);
  }
  const double magnitude = std::fabs(value);
  constexpr uint32_t kOver = kInfinite ? kExpMask << kMan : (kExpMask << kMan) | ((1u << kMan) - 2);
  if (std::isinf(magnitude)) return sign | kOver;
  if (magnitude == 0) return sign;
  int exponent = std::ilogb(magnitude);
  if (exponent < 1 - kBias) exponent = 1 - kBias;
  // nearbyint rounds halves to even in the default rounding mode.
  const double scaled = std::nearbyint(std::ldexp(magnitude, kMan - exponent));
  // A mantissa that rounds up to 2^(kMan+1) carries into the exponent by plain addition.
  const double units = scaled + std::ldexp(static_cast<double>(exponent - 1 + kBias), kMan);
  const double limit = static_cast<double>(kOver);
  return sign | (units >= limit ? kOver : static_cast<uint32_t>(units));
}

}  // namespace

float f16_to_f32(uint16_t bits) { return static_cast<float>(decode<5, 10, true>(bits)); }
uint16_t f64_to_f16(double value) { return static_cast<uint16_t>(encode<5, 10, true>(value)); }
uint16_t f32_to_f16(float value) { return f64_to_f16(value); }

float bf16_to_f32(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
uint16_t f32_to_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t up = bits + 0x7fff + (bits >> 16 & 1), nan = (bits >> 16 & 0x8000) | 0x7fc0;
  return static_cast<uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? nan : up >> 16);
}

void bf16_to_f32(const uint16_t* from, float* to, size_t count) {
  for (size_t i = 0; i < count; ++i) to[i] = bf16_to_f32(from[i]);
}
void f32_to_bf16(const float* from, uint16_t* to, size_t count) {
  for (size_t i = 0; i < count; ++i) to[i] = f32_to_bf16(from[i]);
}

float f8e4m3fn_to_f32(uint8_t bits) { return static_cast<float>(decode<4, 3, false>(bits)); }
uint8_t f32_to_f8e4m3fn(float value) { return static_cast<uint8_t>(encode<4, 3, false>(value)); }
float f8e5m2_to_f32(uint8_t bits) { return static_cast<float>(decode<5, 2, true>(bits)); }
uint8_t f32_to_f8e5m2(float value) { return static_cast<uint8_t>(encode<5, 2, true>(value)); }

#if defined(__x86_64__)
namespace {
__attribute__((target("avx,f16c"))) void widen_f16c(const uint16_t* from, float* to, size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i));
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(half));
  }
  for (; i < count; ++i) to[i] = _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(from[i])));
}
__attribute__((target("avx,f16c"))) void narrow_f16c(const float* from, uint16_t* to,
                                                     size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m128i half = _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), half);
  }
  for (; i < count; ++i) {
    const __m128i half = _mm_cvtps_ph(_mm_set_ss(from[i]), _MM_FROUND_TO_NEAREST_INT);
    to[i] = static_cast<uint16_t>(_mm_cvtsi128_si32(half));
  }
}
__attribute__((target("avx,f16c"))) void round_f16c(float* values, size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m128i half = _mm256_cvtps_ph(_mm256_loadu_ps(values + i), _MM_FROUND_TO_NEAREST_INT);
    _mm256_storeu_ps(values + i, _mm256_cvtph_ps(half));
  }
  for (; i < count; ++i) {
    const __m128i half = _mm_cvtps_ph(_mm_set_ss(values[i]), _MM_FROUND_TO_NEAREST_INT);
    values[i] = _mm_cvtss_f32(_mm_cvtph_ps(half));
  }
}
// clang 16 does not know "f16c" as a feature to ask for.
bool has_f16c() {
  static const bool kHas = [] {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __builtin_cpu_supports("avx") && __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C) != 0;
  }();
  return kHas;
}
}  // namespace
#endif

void f16_to_f32(const uint16_t* from, float* to, size_t count) {
#if defined(__x86_64__)
  if (has_f16c()) return widen_f16c(from, to, count);
#endif
  for (size_t i = 0; i < count; ++i) to[i] = f16_to_f32(from[i]);
}

void f32_to_f16(const float* from, uint16_t* to, size_t count) {
#if defined(__x86_64__)
  if (has_f16c()) return narrow_f16c(from, to, count);
#endif
  for (size_t i = 0; i < count; ++i) to[i] = f32_to_f16(from[i]);
}

void round_to_f16(float* values, size_t count) {
#if defined(__x86_64__)
  if (has_f16c()) return round_f16c(values, count);
#endif
  for (size_t i = 0; i < count; ++i) values[i] = f16_to_f32(f32_to_f16(values[i]));
}

}  // namespace mw
