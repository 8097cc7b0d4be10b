// Tiles, compiled for each instruction set.
#include "cpu/tile.h"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/tile.cc"
#include "hwy/foreach_target.h"  // must come before highway.h
#include "hwy/highway.h"
// After highway.h.
#include "cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace mw::cpu {
namespace HWY_NAMESPACE {

constexpr int64_t kDepth = 128;  // rows of b at once: three vectors of each stay in cache

HWY_INLINE int64_t lanes() { return static_cast<int64_t>(hn::Lanes(D())); }

// The numbers of one vector that exist: all, or the first ones. Not all processors can leave out
// the others when they read and write memory.
struct Whole {
  static V load(const float* from) { return hn::LoadU(D(), from); }
  static void store(V v, float* to) { hn::StoreU(v, D(), to); }
  static V keep(V v, V /*otherwise*/) { return v; }
};
struct Part {
  size_t count = 0;

  [[nodiscard]] hn::Mask<D> mask() const { return hn::FirstN(D(), count); }
  [[nodiscard]] V keep(V v, V otherwise) const { return hn::IfThenElse(mask(), v, otherwise); }
#if HWY_MEM_OPS_MIGHT_FAULT
  [[nodiscard]] V load(const float* from) const {
    HWY_ALIGN float some[hn::MaxLanes(D())] = {};
    std::copy_n(from, count, some);
    return hn::Load(D(), some);
  }
  void store(V v, float* to) const {
    HWY_ALIGN float some[hn::MaxLanes(D())];
    hn::Store(v, D(), some);
    std::copy_n(some, count, to);
  }
#else
  [[nodiscard]] V load(const float* from) const { return hn::MaskedLoad(mask(), D(), from); }
  void store(V v, float* to) const { hn::BlendedStore(v, mask(), D(), to); }
#endif
};

// M rows by C vectors of y. `last`: of the last of these.
template <int M, int C, class Last>
HWY_INLINE void multiply_block(const TileProduct& p, int64_t i, int64_t j, const Last& last) {
  const D d;
  const auto load = [&](const float* from, int c) {
    return c == C - 1 ? last.load(from) : hn::LoadU(d, from);
  };
  V sums[M][C];
  float* y = p.y + i * p.y_row + j;
  for (int r = 0; r < M; ++r) {
    for (int c = 0; c < C; ++c) {
      sums[r][c] = p.adds ? load(y + r * p.y_row + c * lanes(), c) : hn::Zero(d);
    }
  }
  const float* a = p.a + i * p.a_row;
  const float* b = p.b + j;
  for (int64_t l = 0; l < p.k; ++l, a += p.a_step, b += p.b_row) {
    V row[C];
    for (int c = 0; c < C; ++c) row[c] = load(b + c * lanes(), c);
    for (int r = 0; r < M; ++r) {
      const V factor = hn::Set(d, a[r * p.a_row]);
      for (int c = 0; c < C; ++c) sums[r][c] = hn::MulAdd(factor, row[c], sums[r][c]);
    }
  }
  for (int r = 0; r < M; ++r) {
    for (int c = 0; c < C - 1; ++c) hn::StoreU(sums[r][c], d, y + r * p.y_row + c * lanes());
    last.store(sums[r][C - 1], y + r * p.y_row + (C - 1) * lanes());
  }
}

template <int C, class Last>
HWY_INLINE void multiply_columns(const TileProduct& p, int64_t j, const Last& last) {
  // As many sums as there are registers for.
  constexpr int kRows = hn::MaxLanes(D()) >= 16 ? 8 : 4;
  int64_t i = 0;
  for (; i + kRows <= p.m; i += kRows) multiply_block<kRows, C>(p, i, j, last);
  for (; i + 2 <= p.m; i += 2) multiply_block<2, C>(p, i, j, last);
  if (i < p.m) multiply_block<1, C>(p, i, j, last);
}

void MultiplyTile(const TileProduct& product) {
  TileProduct p = product;
  for (int64_t first = 0; first < std::max<int64_t>(product.k, 1); first += kDepth) {
    p.k = std::min(kDepth, product.k - first);
    p.a = product.a + first * p.a_step;
    p.b = product.b + first * p.b_row;
    p.adds = product.adds || first > 0;
    int64_t j = 0;
    int64_t left = p.n / lanes();
    for (; left > 4 || left == 3; left -= 3, j += 3 * lanes()) multiply_columns<3>(p, j, Whole());
    for (; left > 1; left -= 2, j += 2 * lanes()) multiply_columns<2>(p, j, Whole());
    if (left > 0) multiply_columns<1>(p, j, Whole());
    j += left * lanes();
    if (j < p.n) multiply_columns<1>(p, j, Part{static_cast<size_t>(p.n - j)});
  }
}

// Calls visit(at, part) for each vector.
template <class Visit>
HWY_INLINE void for_vectors(size_t count, const Visit& visit) {
  const size_t step = hn::Lanes(D());
  size_t at = 0;
  for (; at + step <= count; at += step) visit(at, Whole());
  if (at < count) visit(at, Part{count - at});
}

V lowest() { return set(-std::numeric_limits<float>::infinity()); }

float ExpRow(float* row, size_t count, float largest) {
  const V top = set(largest);
  V sum = hn::Zero(D());
  for_vectors(count, [&](size_t at, const auto& part) {
    const V power = exp_of(hn::Sub(part.load(row + at), top));
    sum = hn::Add(sum, part.keep(power, hn::Zero(D())));
    part.store(power, row + at);
  });
  return hn::GetLane(hn::SumOfLanes(D(), sum));
}

float SoftmaxRow(float* row, const float* mask, size_t count, float scale) {
  const V factor = set(scale);
  V largest = lowest();
  for_vectors(count, [&](size_t at, const auto& part) {
    V x = hn::Mul(part.load(row + at), factor);
    if (mask != nullptr) x = hn::Add(x, part.load(mask + at));
    largest = hn::Max(largest, part.keep(x, lowest()));
    part.store(x, row + at);
  });
  return ExpRow(row, count, hn::GetLane(hn::MaxOfLanes(D(), largest)));
}

void SoftmaxSlopes(const float* weights, float* slopes, size_t count, float factor) {
  V sum = hn::Zero(D());
  for_vectors(count, [&](size_t at, const auto& part) {
    sum = hn::MulAdd(part.load(weights + at), part.load(slopes + at), sum);
  });
  const V mean = hn::SumOfLanes(D(), sum), scale = set(factor);
  for_vectors(count, [&](size_t at, const auto& part) {
    const V slope = hn::Sub(part.load(slopes + at), mean);
    part.store(hn::Mul(hn::Mul(part.load(weights + at), slope), scale), slopes + at);
  });
}

float LargestNorm(TileRows rows, int64_t count, int64_t columns) {
  float largest = 0, all = 0;
  for (int64_t row = 0; row < count; ++row) {
    const float* from = rows.data + row * rows.stride;
    V sum = hn::Zero(D());
    for_vectors(static_cast<size_t>(columns), [&](size_t at, const auto& part) {
      const V x = part.load(from + at);
      sum = hn::MulAdd(x, x, sum);
    });
    const float square = hn::GetLane(hn::SumOfLanes(D(), sum));
    largest = std::max(largest, square);
    all += square;
  }
  return std::isfinite(all) ? std::sqrt(largest) : std::numeric_limits<float>::infinity();
}

// Whether a number of the vector is not below the threshold; NaN is not.
HWY_INLINE bool keeps(const float* from, V threshold) {
  return !hn::AllTrue(D(), hn::Lt(hn::LoadU(D(), from), threshold));
}

KeyRange KeptKeys(TileRows mask, int64_t rows, int64_t columns, float gap) {
  const int64_t step = lanes(), whole = columns / step * step;
  KeyRange kept{columns, 0};
  for (int64_t row = rows; row-- > 0;) {
    const float* numbers = mask.data + row * mask.stride;
    V largest = lowest();
    auto is_number = hn::Eq(largest, largest);
    for_vectors(static_cast<size_t>(columns), [&](size_t at, const auto& part) {
      const V x = part.keep(part.load(numbers + at), lowest());
      largest = hn::Max(largest, x);
      is_number = hn::And(is_number, hn::Eq(x, x));
    });
    const float best = hn::GetLane(hn::MaxOfLanes(D(), largest));
    if (!std::isfinite(best) || !hn::AllTrue(D(), is_number)) return {0, columns};
    const V threshold = set(best - gap);
    int64_t begin = 0, end = columns;
    while (begin < kept.begin && begin < whole && !keeps(numbers + begin, threshold)) begin += step;
    kept.begin = std::min(kept.begin, begin);
    const auto is_kept = [&](float x) { return !(x < best - gap); };
    if (std::none_of(numbers + whole, numbers + columns, is_kept)) end = whole;
    while (end <= whole && end > kept.end && !keeps(numbers + end - step, threshold)) end -= step;
    kept.end = std::max(kept.end, end);
  }
  return kept;
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace mw::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mw::cpu {

HWY_EXPORT(MultiplyTile);
HWY_EXPORT(ExpRow);
HWY_EXPORT(SoftmaxRow);
HWY_EXPORT(SoftmaxSlopes);
HWY_EXPORT(LargestNorm);
HWY_EXPORT(KeptKeys);

void multiply_tile(const TileProduct& product) { HWY_DYNAMIC_DISPATCH(MultiplyTile)(product); }

float exp_row(float* row, size_t count, float largest) {
  return HWY_DYNAMIC_DISPATCH(ExpRow)(row, count, largest);
}

float softmax_row(float* row, const float* mask, size_t count, float scale) {
  return HWY_DYNAMIC_DISPATCH(SoftmaxRow)(row, mask, count, scale);
}

void softmax_slopes(const float* weights, float* slopes, size_t count, float factor) {
  HWY_DYNAMIC_DISPATCH(SoftmaxSlopes)(weights, slopes, count, factor);
}

float largest_norm(TileRows rows, int64_t count, int64_t columns) {
  return HWY_DYNAMIC_DISPATCH(LargestNorm)(rows, count, columns);
}

KeyRange kept_keys(TileRows mask, int64_t rows, int64_t columns, float gap) {
  return HWY_DYNAMIC_DISPATCH(KeptKeys)(mask, rows, columns, gap);
}

}  // namespace mw::cpu
#endif  // HWY_ONCE
