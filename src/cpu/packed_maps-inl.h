// What codes stand for: tables, and scales and zeros, for vectors of codes. Included once per SIMD
// target.
#if defined(MW_CPU_PACKED_MAPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MW_CPU_PACKED_MAPS_INL_H_
#undef MW_CPU_PACKED_MAPS_INL_H_
#else
#define MW_CPU_PACKED_MAPS_INL_H_
#endif

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "base/packed.h"
#include "cpu/packed-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace mw::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// --- scales and zeros -----------------------------------------------------------------------

// To the nearest that fp16 holds, halves to even.
HWY_INLINE V rounded_to_half(V x) {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  const hn::Rebind<hwy::float16_t, D> half;
  return hn::PromoteTo(D(), hn::DemoteTo(half, x));
#else
  // Highway's own conversion cuts digits off here. Adding 2^13 times the power of two in x, or in
  // the smallest normal number, rounds at the last digit.
  const V size = hn::Abs(x);
  const VI exponent = hn::And(hn::BitCast(DI(), size), hn::Set(DI(), 0x7F800000));
  const VI power = hn::Max(exponent, hn::Set(DI(), (127 - 14) << 23));
  const V large = hn::BitCast(D(), hn::Add(power, hn::Set(DI(), 13 << 23)));
  const V near = hn::Sub(hn::Add(size, large), large);
  const V infinity = hn::BitCast(D(), hn::Set(DI(), 0x7F800000));
  const V bounded = hn::IfThenElse(hn::Lt(size, hn::Set(D(), 65520.0F)), near, infinity);
  return hn::IfThenElse(hn::Eq(x, x), hn::CopySign(bounded, x), x);
#endif
}

HWY_INLINE float number_of(const hwy::float16_t* at) {
  const hn::CappedTag<float, 1> one;
  const hn::Rebind<hwy::float16_t, decltype(one)> half;
  return hn::GetLane(hn::PromoteTo(one, hn::Load(half, at)));
}

inline void halves_to_floats(const hwy::float16_t* from, int64_t count, float* to) {
  const hn::Rebind<hwy::float16_t, D> half;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    hn::StoreU(hn::PromoteTo(D(), hn::LoadU(half, from + i)), D(), to + i);
  }
  for (; i < count; ++i) to[i] = number_of(from + i);
}

// Codes as the numbers that they are; `sign` is the bit that tells negative ones, or 0.
HWY_INLINE V plain(VI codes, VI sign) {
  return hn::ConvertTo(D(), hn::Sub(hn::Xor(codes, sign), sign));
}
HWY_INLINE int sign_of(const PackedMatrix& w) {
  const DType dtype = w.codes.dtype();
  return dtype == DType::kI4 ? 8 : (dtype == DType::kI8 ? 128 : 0);
}

inline void nibbles_to_floats(const uint8_t* bytes, int64_t first, int64_t count, int sign,
                              float* to) {
  const VI signs = hn::Set(DI(), sign);
  int64_t i = 0;
  for (; first % 2 == 0 && i + 2 * kLanes <= count; i += 2 * kLanes) {
    Unpacked<4, uint8_t> codes(bytes + (first + i) / 2);
    V vectors[2];
    for (int k = 0; k < 2; ++k) {
      vectors[k] = plain(codes.next(k), signs);
    }
    store_in_order<2>(vectors, to + i);
  }
  for (; i < count; ++i) {
    const int64_t at = first + i;
    const int code = (bytes[at / 2] >> (at % 2 * 4)) & 15;
    to[i] = static_cast<float>((code ^ sign) - sign);
  }
}

template <class T>
HWY_INLINE void integers_to_floats(const T* from, int64_t count, float* to) {
  for (int64_t i = 0; i < count; ++i) to[i] = static_cast<float>(from[i]);
}

// Elements [first, first + count) of scales or zeros.
inline void load_floats(const Tensor& from, int64_t first, int64_t count, float* to) {
  const void* raw = from.raw();
  switch (from.dtype()) {
    case DType::kF16:
      return halves_to_floats(static_cast<const hwy::float16_t*>(raw) + first, count, to);
    case DType::kI8:
      return integers_to_floats(static_cast<const int8_t*>(raw) + first, count, to);
    case DType::kU8:
      return integers_to_floats(static_cast<const uint8_t*>(raw) + first, count, to);
    case DType::kI4:
      return nibbles_to_floats(static_cast<const uint8_t*>(raw), first, count, 8, to);
    case DType::kU4:
      return nibbles_to_floats(static_cast<const uint8_t*>(raw), first, count, 0, to);
    default:
      std::memcpy(to, static_cast<const float*>(raw) + first,
                  static_cast<size_t>(count) * sizeof(float));
  }
}

constexpr int64_t kMaxGroups = 256;

// Scale and zero of consecutive groups.
class Parameters {
 public:
  // At most kMaxGroups.
  void load(const PackedMatrix& w, int64_t first, int64_t count) {
    load_floats(w.scales, first, count, scales);
    if (!w.zeros.empty()) load_floats(w.zeros, first, count, zeros);
  }
  // A vector may be read from any place below kMaxGroups.
  float scales[kMaxGroups + kLanes];
  float zeros[kMaxGroups + kLanes] = {};
};

template <bool kHalf>
HWY_INLINE V scaled(V number, V scale, V zero) {
  const V result = hn::Mul(scale, hn::Sub(number, zero));
  if constexpr (kHalf) return rounded_to_half(result);
  return result;
}

// --- what codes stand for -------------------------------------------------------------------

// A table that is looked up in registers.
template <int kEntries>
class Registers {
 public:
  static constexpr int64_t kParts = std::max<int64_t>(1, kEntries / kLanes);
  static constexpr bool kFits = kParts == 1 || (kParts <= 4 && kLanes >= 8);

  // One that is implicit would be compiled for no instruction set.
  HWY_INLINE Registers() {}
  HWY_INLINE void set(const float* table) {
    if constexpr (kEntries >= kLanes) {
      for (int64_t part = 0; part < kParts; ++part) {
        parts[part] = hn::LoadU(D(), table + part * kLanes);
      }
    } else {
      HWY_ALIGN float padded[kLanes] = {};
      std::memcpy(padded, table, kEntries * sizeof(float));
      parts[0] = hn::Load(D(), padded);
    }
  }
  [[nodiscard]] HWY_INLINE V at(VI codes) const {
    if constexpr (kParts == 1) {
      return hn::TableLookupLanes(parts[0], hn::IndicesFromVec(D(), codes));
    }
    const VI within = hn::And(codes, hn::Set(DI(), static_cast<int32_t>(kLanes - 1)));
    const auto indices = hn::IndicesFromVec(D(), within);
    V found = hn::TableLookupLanes(parts[0], indices);
    for (int64_t part = 1; part < kParts; ++part) {
      const VI last = hn::Set(DI(), static_cast<int32_t>(part * kLanes - 1));
      const auto here = hn::RebindMask(D(), hn::Gt(codes, last));
      found = hn::IfThenElse(here, hn::TableLookupLanes(parts[part], indices), found);
    }
    return found;
  }

  V parts[kParts];
};

// A map is told which groups are coming, load(), at most kMaxGroups / kShare of them, then which of
// these it is in, select(). It may take several groups of the matrix as one, up to kShare.
template <int kBitsOf>
class TableMap {
 public:
  static constexpr int kBits = kBitsOf;
  static constexpr int kShare = 1;
  static constexpr bool kScales = false;
  using Code = uint8_t;

  explicit TableMap(const PackedMatrix& w) : tables_(w.tables) {}
  static int64_t group_columns(const PackedMatrix& w) { return w.group_columns; }
  void load(int64_t group, int64_t /*count*/) { first_ = tables_ + group * kEntries; }
  HWY_INLINE void select(int64_t index) {
    table_ = first_ + index * kEntries;
    if constexpr (Registers<kEntries>::kFits) registers_.set(table_);
  }
  [[nodiscard]] HWY_INLINE V numbers(VI codes) const {
    if constexpr (Registers<kEntries>::kFits) return registers_.at(codes);
    return hn::GatherIndex(D(), table_, codes);
  }

 private:
  static constexpr int kEntries = 1 << kBits;
  struct Nothing {};
  const float* tables_;
  const float* first_ = nullptr;
  const float* table_ = nullptr;
  std::conditional_t<Registers<kEntries>::kFits, Registers<kEntries>, Nothing> registers_;
};

// Codes of 8 bits, each by itself. CodeOf: int8_t or uint8_t.
template <class CodeOf, bool kHalf>
class ByteMap {
 public:
  static constexpr int kBits = 8;
  static constexpr int kShare = 1;
  static constexpr bool kScales = true;
  using Code = CodeOf;

  explicit ByteMap(const PackedMatrix& w) : w_(w) {}
  static int64_t group_columns(const PackedMatrix& w) { return w.group_columns; }
  void load(int64_t group, int64_t count) { parameters_.load(w_, group, count); }
  HWY_INLINE void select(int64_t index) {
    scale_ = hn::Set(D(), parameters_.scales[index]);
    zero_ = hn::Set(D(), parameters_.zeros[index]);
  }
  [[nodiscard]] HWY_INLINE V numbers(VI codes) const {
    return scaled<kHalf>(hn::ConvertTo(D(), codes), scale_, zero_);
  }

 private:
  const PackedMatrix& w_;
  Parameters parameters_;
  V scale_, zero_;
};

// Codes of 4 bits: what all of them stand for in a group is computed once, where registers hold it.
template <bool kHalf>
class NibbleMap {
 public:
  static constexpr int kBits = 4;
  static constexpr int kShare = 1;
  static constexpr bool kScales = true;
  using Code = uint8_t;

  explicit NibbleMap(const PackedMatrix& w) : w_(w), sign_(sign_of(w)) {
    if constexpr (Registers<16>::kFits) {
      HWY_ALIGN float all[16];
      for (int code = 0; code < 16; ++code) all[code] = static_cast<float>((code ^ sign_) - sign_);
      codes_.set(all);
    }
  }
  static int64_t group_columns(const PackedMatrix& w) { return w.group_columns; }
  void load(int64_t group, int64_t count) { parameters_.load(w_, group, count); }
  HWY_INLINE void select(int64_t index) {
    const V scale = hn::Set(D(), parameters_.scales[index]);
    const V zero = hn::Set(D(), parameters_.zeros[index]);
    if constexpr (Registers<16>::kFits) {
      for (int part = 0; part < Registers<16>::kParts; ++part) {
        numbers_.parts[part] = scaled<kHalf>(codes_.parts[part], scale, zero);
      }
    } else {
      scale_ = scale;
      zero_ = zero;
    }
  }
  [[nodiscard]] HWY_INLINE V numbers(VI codes) const {
    if constexpr (Registers<16>::kFits) {
      return numbers_.at(codes);
    } else {
      return scaled<kHalf>(plain(codes, hn::Set(DI(), sign_)), scale_, zero_);
    }
  }

 private:
  const PackedMatrix& w_;
  int sign_;
  Parameters parameters_;
  Registers<16> codes_, numbers_;
  V scale_, zero_;
};

// Codes of 4 or 8 bits in groups of which several share a chunk, and none a lane with another.
template <int kBitsOf>
class SharedMap {
 public:
  static constexpr int kBits = kBitsOf;
  static constexpr int64_t kShare = kLanes;
  static constexpr bool kScales = true;
  using Code = uint8_t;

  static int64_t group_columns(const PackedMatrix& /*w*/) { return Chunk<kBits>::kCodes; }
  static bool suits(const PackedMatrix& w) {
    constexpr int64_t kCodes = Chunk<kBits>::kCodes, kVectors = Chunk<kBits>::kVectors;
    const int64_t size = w.group_columns;
    return size < kCodes && kCodes % size == 0 && size % kVectors == 0 && w.columns % kCodes == 0;
  }

  explicit SharedMap(const PackedMatrix& w)
      : w_(w),
        share_(Chunk<kBits>::kCodes / w.group_columns),
        sign_(hn::Set(DI(), sign_of(w))),
        half_(w.dtype == DType::kF16) {
    HWY_ALIGN int32_t group[kLanes];
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      group[lane] = static_cast<int32_t>(lane * Chunk<kBits>::kVectors / w.group_columns);
    }
    group_of_lane_ = hn::Load(DI(), group);
  }
  void load(int64_t group, int64_t count) { parameters_.load(w_, group * share_, count * share_); }
  HWY_INLINE void select(int64_t index) {
    const auto groups = hn::IndicesFromVec(D(), group_of_lane_);
    const int64_t first = index * share_;
    scale_ = hn::TableLookupLanes(hn::LoadU(D(), parameters_.scales + first), groups);
    zero_ = hn::TableLookupLanes(hn::LoadU(D(), parameters_.zeros + first), groups);
  }
  [[nodiscard]] HWY_INLINE V numbers(VI codes) const {
    const V result = scaled<false>(plain(codes, sign_), scale_, zero_);
    return half_ ? rounded_to_half(result) : result;
  }

 private:
  const PackedMatrix& w_;
  int64_t share_;
  VI sign_, group_of_lane_;
  bool half_;
  Parameters parameters_;
  V scale_, zero_;
};

// Calls work.run<Map>() with the map of the matrix.
template <class Work>
void with_map(const PackedMatrix& w, const Work& work) {
  const DType dtype = w.codes.dtype();
  if (w.tables != nullptr) {
    switch (dtype) {
      case DType::kU1:
        return work.template run<TableMap<1>>();
      case DType::kU2:
        return work.template run<TableMap<2>>();
      case DType::kU3:
        return work.template run<TableMap<3>>();
      case DType::kU4:
        return work.template run<TableMap<4>>();
      case DType::kU6:
        return work.template run<TableMap<6>>();
      default:
        return work.template run<TableMap<8>>();
    }
  }
  const bool half = w.dtype == DType::kF16;
  if (bit_width(dtype) == 4) {
    if (SharedMap<4>::suits(w)) return work.template run<SharedMap<4>>();
    return half ? work.template run<NibbleMap<true>>() : work.template run<NibbleMap<false>>();
  }
  if (SharedMap<8>::suits(w)) return work.template run<SharedMap<8>>();
  if (dtype == DType::kI8) {
    return half ? work.template run<ByteMap<int8_t, true>>()
                : work.template run<ByteMap<int8_t, false>>();
  }
  return half ? work.template run<ByteMap<uint8_t, true>>()
              : work.template run<ByteMap<uint8_t, false>>();
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace mw::cpu
HWY_AFTER_NAMESPACE();

#endif  // MW_CPU_PACKED_MAPS_INL_H_
