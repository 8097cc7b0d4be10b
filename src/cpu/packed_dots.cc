// Products with packed matrices, compiled for each instruction set: codes become numbers in
// registers, and nowhere else.
#include <algorithm>

#include "base/error.h"
#include "cpu/packed.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/packed_dots.cc"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"  // must come before highway.h
#include "hwy/highway.h"

#include "cpu/packed_maps-inl.h"

HWY_BEFORE_NAMESPACE();
namespace mw::cpu {
namespace HWY_NAMESPACE {

struct Numbers {
  int64_t first, count;
};

// Products are compiled for 1, 2, 4 and 8 rows.
constexpr int64_t multiplied_rows(int64_t m) { return m <= 2 ? m : (m <= 4 ? 4 : 8); }

// So far ahead codes are asked for: processors do not look beyond a page on their own.
constexpr int64_t kAhead = 4096;  // bytes

struct OrderedRows {
  const float* data;
  int64_t stride;
  [[nodiscard]] HWY_INLINE OrderedRows from(int64_t at) const { return {data + at, stride}; }
};

// Products of M rows; several sums for each, which do not wait for each other.
template <int M>
class Sums {
 public:
  HWY_INLINE Sums() {
    for (int i = 0; i < M; ++i) {
      for (int k = 0; k < kEach; ++k) sums_[i][k] = hn::Zero(D());
    }
  }
  HWY_INLINE void add(int which, V numbers, OrderedRows x) {
    for (int i = 0; i < M; ++i) {
      V& sum = sums_[i][which % kEach];
      sum = hn::MulAdd(hn::LoadU(D(), x.data + i * x.stride), numbers, sum);
    }
  }
  [[nodiscard]] HWY_INLINE float total(int64_t i) const {
    V sum = sums_[i][0];
    for (int k = 1; k < kEach; ++k) sum = hn::Add(sum, sums_[i][k]);
    return hn::GetLane(hn::SumOfLanes(D(), sum));
  }

 private:
  static constexpr int kEach = M == 1 ? 4 : (M == 2 ? 2 : 1);
  V sums_[M][kEach];
};

// Rows of x as a product reads them: those of each group fill whole chunks, in the order in which
// their codes are unpacked, with zeros behind.
template <class Map>
struct Ordered {
  explicit Ordered(const PackedMatrix& w) : columns(Map::group_columns(w)) {
    constexpr int64_t kCodes = Chunk<Map::kBits>::kCodes;
    group = (columns + kCodes - 1) / kCodes * kCodes;
    row = w.columns / columns * group;
  }
  int64_t columns, group, row;  // of a group, floats of it and of a row
};

template <class Map, int M>
HWY_INLINE void add_chunk(const Map& map, const uint8_t* bytes, OrderedRows x, Sums<M>& sums) {
  Unpacked<Map::kBits, typename Map::Code> codes(bytes);
  for (int k = 0; k < Chunk<Map::kBits>::kVectors; ++k) {
    sums.add(k, map.numbers(codes.next(k)), x.from(k * kLanes));
  }
}

// `count` groups of kChunks whole chunks.
template <class Map, int M, int kChunks>
HWY_INLINE void add_small_groups(Map& map, int64_t count, const uint8_t* bytes, OrderedRows x,
                                 Sums<M>& sums) {
  using C = Chunk<Map::kBits>;
  for (int64_t i = 0; i < count; ++i) {
    map.select(i);
    hwy::Prefetch(bytes + kAhead);
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      add_chunk<Map, M>(map, bytes, x, sums);
      bytes += C::kBytes;
      x = x.from(C::kCodes);
    }
  }
}

// `count` numbers of one group, of which `first` is the first.
template <class Map, int M>
HWY_INLINE void add_group(const PackedMatrix& w, const Map& map, Numbers numbers, OrderedRows x,
                          Sums<M>& sums) {
  constexpr int kBits = Map::kBits;
  using C = Chunk<kBits>;
  const int64_t bit = numbers.first * kBits;
  const auto* bytes = static_cast<const uint8_t*>(w.codes.raw()) + bit / 8;
  const int64_t in_place = chunks_in_place<kBits>(w, bit, numbers.count);
  for (int64_t chunk = 0; chunk < in_place; ++chunk) {
    hwy::Prefetch(bytes + kAhead);
    add_chunk<Map, M>(map, bytes, x, sums);
    bytes += C::kBytes;
    x = x.from(C::kCodes);
  }
  for (int64_t done = in_place * C::kCodes; done < numbers.count; done += C::kCodes) {
    const int64_t here = std::min(C::kCodes, numbers.count - done);
    const Staged<kBits> staged(w, bit + done * kBits, here);
    Unpacked<kBits, typename Map::Code> codes(staged.bytes());
    for (int k = 0; k < C::kVectors; ++k) {
      const V values = map.numbers(codes.next(k));
      sums.add(k, hn::IfThenElseZero(first_codes<kBits>(k, here), values), x.from(k * kLanes));
    }
    x = x.from(C::kCodes);
  }
}

struct Product {
  const PackedMatrix& w;
  const float* ordered;
  int64_t m, first, rows;
  FewRows y;

  // Groups [from, from + count) of a row; the map has loaded them.
  template <class Map, int M>
  HWY_INLINE void add_groups(Map& map, Numbers groups, int64_t row, Sums<M>& sums) const {
    using C = Chunk<Map::kBits>;
    const Ordered<Map> layout(w);
    OrderedRows x{ordered + groups.first * layout.group, layout.row};
    const int64_t number = row * w.columns + groups.first * layout.columns;
    if constexpr (Map::kScales) {
      const auto* bytes = static_cast<const uint8_t*>(w.codes.raw()) + number * Map::kBits / 8;
      if (layout.columns == C::kCodes) {
        return add_small_groups<Map, M, 1>(map, groups.count, bytes, x, sums);
      }
      if (layout.columns == 2 * C::kCodes) {
        return add_small_groups<Map, M, 2>(map, groups.count, bytes, x, sums);
      }
    }
    for (int64_t i = 0; i < groups.count; ++i) {
      map.select(i);
      const Numbers numbers{number + i * layout.columns, layout.columns};
      add_group<Map, M>(w, map, numbers, x.from(i * layout.group), sums);
    }
  }

  template <class Map, int M>
  void run_rows() const {
    constexpr int64_t kMost = kMaxGroups / Map::kShare;
    const int64_t across = w.columns / Map::group_columns(w);
    Map map(w);
    for (int64_t j = 0; j < rows; ++j) {
      const int64_t row = first + j, before = row / w.group_rows * across;
      Sums<M> sums;
      for (int64_t from = 0; from < across; from += kMost) {
        const int64_t count = std::min(kMost, across - from);
        map.load(before + from, count);
        add_groups<Map, M>(map, {from, count}, row, sums);
      }
      for (int64_t i = 0; i < m; ++i) y.data[i * y.stride + j] = sums.total(i);
    }
  }
  template <class Map>
  void run() const {
    switch (m) {
      case 1:
        return run_rows<Map, 1>();
      case 2:
        return run_rows<Map, 2>();
      case 3:
      case 4:
        return run_rows<Map, 4>();
      default:
        return run_rows<Map, 8>();
    }
  }
};

struct Ordering {
  const PackedMatrix& w;
  FewRows x;
  int64_t m;
  float* ordered;

  template <class Map>
  void run() const {
    using C = Chunk<Map::kBits>;
    const Ordered<Map> layout(w);
    const int64_t size = layout.columns;
    for (int64_t i = 0; i < m; ++i) {
      const float* from = x.data + i * x.stride;
      float* to = ordered + i * layout.row;
      for (int64_t group = 0; group < w.columns / size; ++group, from += size) {
        for (int64_t chunk = 0; chunk < size; chunk += C::kCodes, to += C::kCodes) {
          order(from + chunk, std::min(C::kCodes, size - chunk), C::kVectors, to);
        }
      }
    }
    std::fill(ordered + m * layout.row, ordered + multiplied_rows(m) * layout.row, 0.0F);
  }
  static void order(const float* from, int64_t count, int vectors, float* to) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      for (int k = 0; k < vectors; ++k) {
        const int64_t at = lane * vectors + k;
        to[k * kLanes + lane] = at < count ? from[at] : 0;
      }
    }
  }
};

void OrderRows(const PackedMatrix& w, FewRows x, int64_t m, float* ordered) {
  with_map(w, Ordering{w, x, m, ordered});
}

void DotPacked(const PackedMatrix& w, const float* ordered, int64_t m, int64_t first, int64_t rows,
               FewRows y) {
  with_map(w, Product{w, ordered, m, first, rows, y});
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace mw::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mw::cpu {
namespace {

// What a plan is told is the same on all machines: with the longest vectors, 16 floats.
int64_t longest_chunk(const PackedMatrix& w) {
  const int bits = bit_width(w.codes.dtype());
  return 16 * (bits % 3 == 0 ? 24 : 8) / bits;
}

// As SharedMap has it.
bool share_chunks(const PackedMatrix& w) {
  const int64_t chunk = longest_chunk(w), size = w.group_columns;
  return w.tables == nullptr && size < chunk && chunk % size == 0 && size % (chunk / 16) == 0 &&
         w.columns % chunk == 0;
}

}  // namespace

HWY_EXPORT(OrderRows);
HWY_EXPORT(DotPacked);

bool multiplies_packed(const PackedMatrix& w) {
  return w.group_columns >= std::min(w.columns, longest_chunk(w)) || share_chunks(w);
}

int64_t ordered_floats(const PackedMatrix& w, int64_t m) {
  const int64_t rows = HWY_STATIC_DISPATCH(multiplied_rows)(m), chunk = longest_chunk(w);
  if (share_chunks(w)) return rows * w.columns;
  return rows * w.groups_across() * ((w.group_columns + chunk - 1) / chunk * chunk);
}

void order_rows(const PackedMatrix& w, FewRows x, int64_t m, float* ordered) {
  MW_CHECK(m >= 1 && m <= kMaxPackedRows);
  HWY_DYNAMIC_DISPATCH(OrderRows)(w, x, m, ordered);
}

void dot_packed(const PackedMatrix& w, const float* ordered, int64_t m, int64_t first, int64_t rows,
                FewRows y) {
  MW_CHECK(m >= 1 && m <= kMaxPackedRows && first >= 0 && first + rows <= w.rows);
  HWY_DYNAMIC_DISPATCH(DotPacked)(w, ordered, m, first, rows, y);
}

}  // namespace mw::cpu
#endif  // HWY_ONCE
