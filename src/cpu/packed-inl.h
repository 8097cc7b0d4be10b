// Codes of a few bits as vectors. Included once per SIMD target.
//
// Codes are unpacked a chunk at a time, into several vectors: lane i of them holds the codes in the
// i-th byte of the chunk (of 3 and 6 bits: in the i-th three bytes), the first vector the first of
// these, and so on.
#if defined(MW_CPU_PACKED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MW_CPU_PACKED_INL_H_
#undef MW_CPU_PACKED_INL_H_
#else
#define MW_CPU_PACKED_INL_H_
#endif

#include <cstdint>

#include "base/packed.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace mw::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using DI = hn::RebindToSigned<D>;
using V = hn::Vec<D>;
using VI = hn::Vec<DI>;

constexpr int64_t kLanes = hn::MaxLanes(D());

// --- unpacking ------------------------------------------------------------------------------

template <int kBits>
struct Chunk {
  static constexpr int kLaneBytes = kBits % 3 == 0 ? 3 : 1;
  static constexpr int kVectors = 8 * kLaneBytes / kBits;
  static constexpr int64_t kCodes = kVectors * kLanes;
  static constexpr int64_t kBytes = kLaneBytes * kLanes;
  // So many are read: the words that hold the last three bytes.
  static constexpr int64_t kRead = kLaneBytes == 3 ? 4 * kLanes : kLanes;
};

// Which words of those that are read each block of four lanes gets, and the bytes of each lane.
alignas(64) constexpr int32_t kWords[16] = {0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8, 8, 9, 10, 11, 11};
alignas(16) constexpr uint8_t kTriples[16] = {0, 1, 2, 128, 3, 4,  5,  128,
                                              6, 7, 8, 128, 9, 10, 11, 128};

// Code: int8_t or uint8_t, how a byte is widened where it is one code.
template <int kBits, class Code>
HWY_INLINE VI lanes_of(const uint8_t* bytes) {
  if constexpr (Chunk<kBits>::kLaneBytes == 1) {
    const hn::Rebind<Code, DI> narrow;
    return hn::PromoteTo(DI(), hn::LoadU(narrow, reinterpret_cast<const Code*>(bytes)));
  } else {
#if HWY_TARGET == HWY_SCALAR
    return hn::Set(DI(), bytes[0] | bytes[1] << 8 | bytes[2] << 16);
#else
    const hn::Repartition<uint8_t, DI> d8;
    VI words = hn::BitCast(DI(), hn::LoadU(d8, bytes));
    if constexpr (kLanes > 4) {
      words = hn::TableLookupLanes(words, hn::SetTableIndices(DI(), kWords));
    }
    const auto triples = hn::LoadDup128(d8, kTriples);
    return hn::BitCast(DI(), hn::TableLookupBytesOr0(hn::BitCast(d8, words), triples));
#endif
  }
}

// The codes of a chunk, one vector after the other.
template <int kBits, class Code>
class Unpacked {
 public:
  static constexpr int kVectors = Chunk<kBits>::kVectors;

  HWY_INLINE explicit Unpacked(const uint8_t* bytes) : rest_(lanes_of<kBits, Code>(bytes)) {}
  HWY_INLINE VI next(int vector) {
    if constexpr (kVectors == 1) return rest_;
    const VI codes =
        vector + 1 < kVectors ? hn::And(rest_, hn::Set(DI(), (1 << kBits) - 1)) : rest_;
    rest_ = hn::ShiftRight<kBits>(rest_);
    return codes;
  }

 private:
  VI rest_;
};

// Lanes of a vector that hold one of the first `count` codes of a chunk.
template <int kBits>
HWY_INLINE hn::Mask<D> first_codes(int vector, int64_t count) {
  const VI lane = hn::Iota(DI(), 0);
  const VI code = hn::Add(hn::Mul(lane, hn::Set(DI(), Chunk<kBits>::kVectors)),
                          hn::Set(DI(), static_cast<int32_t>(vector)));
  return hn::RebindMask(D(), hn::Lt(code, hn::Set(DI(), static_cast<int32_t>(count))));
}

// Codes beside a place that no vector can be read from: at a bit within a byte, or so near the end
// that it would be passed.
template <int kBits>
class Staged {
 public:
  // Codes that begin at `bit`, with zeros behind them.
  Staged(const PackedMatrix& w, int64_t bit, int64_t count) {
    const auto* from = static_cast<const uint8_t*>(w.codes.raw()) + bit / 8;
    const int64_t left = w.codes.nbytes() - bit / 8, shift = bit % 8;
    const int64_t bytes = (count * kBits + 7) / 8;
    for (int64_t i = 0; i < bytes; ++i) {
      unsigned value = from[i];
      if (shift != 0 && i + 1 < left) value |= static_cast<unsigned>(from[i + 1]) << 8;
      bytes_[i] = static_cast<uint8_t>(value >> shift);
    }
  }
  [[nodiscard]] const uint8_t* bytes() const { return bytes_; }

 private:
  uint8_t bytes_[Chunk<kBits>::kRead] = {};
};

// Whole chunks of `count` codes from `bit` on that may be read where they lie.
template <int kBits>
HWY_INLINE int64_t chunks_in_place(const PackedMatrix& w, int64_t bit, int64_t count) {
  using C = Chunk<kBits>;
  if (bit % 8 != 0) return 0;
  int64_t chunks = count / C::kCodes;
  if constexpr (C::kRead > C::kBytes) {
    const int64_t left = w.codes.nbytes() - bit / 8;
    if (chunks > 0 && (chunks - 1) * C::kBytes + C::kRead > left) --chunks;
  }
  return chunks;
}

// The vectors of a chunk as the numbers that they hold, in order.
template <int kVectors>
HWY_INLINE void store_in_order(const V* vectors, float* to) {
  if constexpr (kVectors == 1 || kLanes == 1) {
    for (int k = 0; k < kVectors; ++k) hn::StoreU(vectors[k], D(), to + k * kLanes);
#if HWY_TARGET != HWY_SCALAR
  } else if constexpr (kVectors == 2) {
    hn::StoreInterleaved2(vectors[0], vectors[1], D(), to);
  } else if constexpr (kVectors == 4) {
    hn::StoreInterleaved4(vectors[0], vectors[1], vectors[2], vectors[3], D(), to);
  } else {
    HWY_ALIGN float even[4 * kLanes];
    HWY_ALIGN float odd[4 * kLanes];
    hn::StoreInterleaved4(vectors[0], vectors[2], vectors[4], vectors[6], D(), even);
    hn::StoreInterleaved4(vectors[1], vectors[3], vectors[5], vectors[7], D(), odd);
    for (int64_t i = 0; i < 4 * kLanes; i += kLanes) {
      hn::StoreInterleaved2(hn::Load(D(), even + i), hn::Load(D(), odd + i), D(), to + 2 * i);
    }
#endif
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace mw::cpu
HWY_AFTER_NAMESPACE();

#endif  // MW_CPU_PACKED_INL_H_
