// Reading packed matrices, compiled for each instruction set: group after group, a chunk of codes
// at a time.
#include "cpu/packed.h"

#include <algorithm>

#include "base/error.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/packed.cc"
#include "hwy/foreach_target.h"  // must come before highway.h
#include "hwy/highway.h"

#include "cpu/packed_maps-inl.h"

HWY_BEFORE_NAMESPACE();
namespace mw::cpu {
namespace HWY_NAMESPACE {

// Codes [first, first + count) of one group.
template <class Map>
HWY_INLINE void read_codes(const PackedMatrix& w, const Map& map, int64_t first, int64_t count,
                           float* out) {
  constexpr int kBits = Map::kBits;
  using C = Chunk<kBits>;
  using Codes = Unpacked<kBits, typename Map::Code>;
  const int64_t bit = first * kBits;
  const auto* bytes = static_cast<const uint8_t*>(w.codes.raw()) + bit / 8;
  const int64_t in_place = chunks_in_place<kBits>(w, bit, count);
  V vectors[C::kVectors];
  int64_t done = 0;
  for (int64_t chunk = 0; chunk < in_place; ++chunk, done += C::kCodes) {
    Codes codes(bytes + chunk * C::kBytes);
    for (int k = 0; k < C::kVectors; ++k) vectors[k] = map.numbers(codes.next(k));
    store_in_order<C::kVectors>(vectors, out + done);
  }
  for (; done < count; done += C::kCodes) {
    const int64_t here = std::min(C::kCodes, count - done);
    const Staged<kBits> staged(w, bit + done * kBits, here);
    Codes codes(staged.bytes());
    for (int k = 0; k < C::kVectors; ++k) vectors[k] = map.numbers(codes.next(k));
    HWY_ALIGN float numbers[C::kCodes];
    store_in_order<C::kVectors>(vectors, numbers);
    std::copy_n(numbers, here, out + done);
  }
}

// The part of one row.
template <class Map>
void read_groups(const PackedMatrix& w, Map& map, int64_t row, PackedPart part, float* out) {
  constexpr int64_t kMost = kMaxGroups / Map::kShare;
  const int64_t size = Map::group_columns(w), end = part.from + part.length;
  const int64_t before = row / w.group_rows * (w.columns / size);
  for (int64_t first = part.from / size; first * size < end; first += kMost) {
    const int64_t last = std::min(first + kMost, (end - 1) / size + 1);
    map.load(before + first, last - first);
    for (int64_t group = first; group < last; ++group) {
      const int64_t begin = std::max(part.from, group * size);
      const int64_t stop = std::min(end, (group + 1) * size);
      map.select(group - first);
      read_codes(w, map, row * w.columns + begin, stop - begin, out + (begin - part.from));
    }
  }
}

// Codes as the numbers that they are.
template <int kBitsOf>
class PlainMap {
 public:
  static constexpr int kBits = kBitsOf;
  using Code = uint8_t;
  explicit PlainMap(const PackedMatrix& w) : sign_(hn::Set(DI(), sign_of(w))) {}
  [[nodiscard]] HWY_INLINE V numbers(VI codes) const { return plain(codes, sign_); }

 private:
  VI sign_;
};

// The same with scales of groups that do not fill a chunk: all codes first, then a scale for each.
template <int kBits>
class ScaledReading {
 public:
  explicit ScaledReading(const PackedMatrix& w) : w_(w), map_(w) {}

  void read(int64_t row, PackedPart part, float* out) {
    const int64_t end = part.from + part.length;
    for (int64_t at = part.from; at < end; at += kMaxGroups) {
      const int64_t count = std::min(kMaxGroups, end - at);
      const Parameters& each = load(row, at, count);
      read_codes(w_, map_, row * w_.columns + at, count, numbers_);
      for (int64_t i = 0; i < count; i += kLanes) {
        const V scale = hn::LoadU(D(), each.scales + i), zero = hn::LoadU(D(), each.zeros + i);
        const V number = scaled<false>(hn::Load(D(), numbers_ + i), scale, zero);
        hn::Store(w_.dtype == DType::kF16 ? rounded_to_half(number) : number, D(), numbers_ + i);
      }
      std::copy_n(numbers_, count, out + (at - part.from));
    }
  }

 private:
  // Of `count` numbers from `at` on.
  const Parameters& load(int64_t row, int64_t at, int64_t count) {
    const int64_t size = w_.group_columns, first = at / size;
    groups_.load(w_, row / w_.group_rows * w_.groups_across() + first,
                 (at + count - 1) / size + 1 - first);
    if (size == 1) return groups_;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t group = (at + i) / size - first;
      each_.scales[i] = groups_.scales[group];
      each_.zeros[i] = groups_.zeros[group];
    }
    return each_;
  }

  const PackedMatrix& w_;
  PlainMap<kBits> map_;
  Parameters groups_, each_;
  HWY_ALIGN float numbers_[kMaxGroups] = {};
};

struct Reading {
  const PackedMatrix& w;
  PackedPart part;
  float* out;

  template <class Map>
  void run() const {
    const int64_t end = part.first + part.count;
    float* to = out;
    if constexpr (Map::kScales) {
      const bool small = w.group_columns < std::min(w.columns, Chunk<Map::kBits>::kCodes);
      const bool whole = Map::kShare > 1 && part.from % Map::group_columns(w) == 0;
      if (small && !whole) {
        ScaledReading<Map::kBits> reading(w);
        for (int64_t row = part.first; row < end; ++row, to += part.length) {
          reading.read(row, part, to);
        }
        return;
      }
    }
    Map map(w);
    for (int64_t row = part.first; row < end; ++row, to += part.length) {
      read_groups(w, map, row, part, to);
    }
  }
};

void ReadPacked(const PackedMatrix& w, PackedPart part, float* out) {
  with_map(w, Reading{w, part, out});
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace mw::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mw::cpu {

HWY_EXPORT(ReadPacked);

void read_packed(const PackedMatrix& w, PackedPart part, float* out) {
  MW_CHECK(part.first >= 0 && part.count >= 0 && part.first + part.count <= w.rows);
  MW_CHECK(part.from >= 0 && part.length >= 0 && part.from + part.length <= w.columns);
  if (part.length > 0) HWY_DYNAMIC_DISPATCH(ReadPacked)(w, part, out);
}

}  // namespace mw::cpu
#endif  // HWY_ONCE
