// Products of a few rows with a matrix, compiled for each instruction set.
#include "cpu/dots.h"

#include <algorithm>
#include <cstddef>
#include <limits>

#include "base/error.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/dots.cc"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"  // must come before highway.h
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace mw::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

HWY_INLINE V load(const float* w) { return hn::LoadU(D(), w); }
template <class Half>
HWY_INLINE V load(const Half* w) {
  const hn::Rebind<Half, D> half;
  return hn::PromoteTo(D(), hn::LoadU(half, w));
}
HWY_INLINE float number(const float* w) { return *w; }
template <class Half>
HWY_INLINE float number(const Half* w) {
  const hn::CappedTag<float, 1> one;
  const hn::Rebind<Half, decltype(one)> half;
  return hn::GetLane(hn::PromoteTo(one, hn::Load(half, w)));
}

// M rows of x with R rows of w at once.
template <int M, int R, class W>
HWY_INLINE void dot_block(FewRows x, const W* w, int64_t w_stride, int64_t k, FewRows y) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  V sums[M][R];
  for (int i = 0; i < M; ++i) {
    for (int r = 0; r < R; ++r) sums[i][r] = hn::Zero(d);
  }
  int64_t at = 0;
  for (; at + lanes <= k; at += lanes) {
    V rows[R];
    for (int r = 0; r < R; ++r) rows[r] = load(w + r * w_stride + at);
    for (int i = 0; i < M; ++i) {
      const V v = hn::LoadU(d, x.data + i * x.stride + at);
      for (int r = 0; r < R; ++r) sums[i][r] = hn::MulAdd(v, rows[r], sums[i][r]);
    }
  }
  for (int i = 0; i < M; ++i) {
    for (int r = 0; r < R; ++r) {
      float total = hn::GetLane(hn::SumOfLanes(d, sums[i][r]));
      for (int64_t rest = at; rest < k; ++rest) {
        total += x.data[i * x.stride + rest] * number(w + r * w_stride + rest);
      }
      y.data[i * y.stride + r] = total;
    }
  }
}

// Long rows are read one after the other: memory is fastest along one stream.
constexpr int64_t kLongRow = 1024;  // bytes
// So far ahead of it: processors do not look beyond a page on their own.
constexpr int64_t kAhead = 4096;  // bytes
constexpr int64_t kCacheLine = 64;

// M rows of x with one of w, of which two vectors at once: sums do not wait for each other.
template <int M, class W>
HWY_INLINE void dot_long(FewRows x, const W* w, int64_t k, FewRows y) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t bytes = 2 * lanes * static_cast<int64_t>(sizeof(W));
  V even[M], odd[M];
  for (int i = 0; i < M; ++i) even[i] = odd[i] = hn::Zero(d);
  int64_t at = 0;
  for (; at + 2 * lanes <= k; at += 2 * lanes) {
    const auto* ahead = reinterpret_cast<const std::byte*>(w + at) + kAhead;
    for (int64_t byte = 0; byte < bytes; byte += kCacheLine) hwy::Prefetch(ahead + byte);
    const V first = load(w + at), second = load(w + at + lanes);
    for (int i = 0; i < M; ++i) {
      const float* row = x.data + i * x.stride + at;
      even[i] = hn::MulAdd(hn::LoadU(d, row), first, even[i]);
      odd[i] = hn::MulAdd(hn::LoadU(d, row + lanes), second, odd[i]);
    }
  }
  for (int i = 0; i < M; ++i) {
    float total = hn::GetLane(hn::SumOfLanes(d, hn::Add(even[i], odd[i])));
    for (int64_t rest = at; rest < k; ++rest) {
      total += x.data[i * x.stride + rest] * number(w + rest);
    }
    y.data[i * y.stride] = total;
  }
}

template <int M, class W>
HWY_INLINE void dot_all(FewRows x, const W* w, int64_t w_stride, int64_t rows, int64_t k,
                        FewRows y) {
  constexpr int kRows = M <= 2 ? 4 : 2;
  const bool long_rows = k * static_cast<int64_t>(sizeof(W)) >= kLongRow;
  int64_t row = 0;
  for (; !long_rows && row + kRows <= rows; row += kRows) {
    dot_block<M, kRows>(x, w + row * w_stride, w_stride, k, {y.data + row, y.stride});
  }
  for (; row < rows; ++row) {
    const FewRows to{y.data + row, y.stride};
    if (long_rows) {
      dot_long<M>(x, w + row * w_stride, k, to);
    } else {
      dot_block<M, 1>(x, w + row * w_stride, w_stride, k, to);
    }
  }
}

template <class W>
void dot_typed(FewRows x, int64_t m, StoredRows w, int64_t rows, int64_t k, FewRows y) {
  const W* data = static_cast<const W*>(w.data);
  switch (m) {
    case 1:
      return dot_all<1>(x, data, w.stride, rows, k, y);
    case 2:
      return dot_all<2>(x, data, w.stride, rows, k, y);
    case 3:
      return dot_all<3>(x, data, w.stride, rows, k, y);
    default:
      return dot_all<4>(x, data, w.stride, rows, k, y);
  }
}

// M rows of y over C vectors of columns at once.
template <int M, int C, class W>
HWY_INLINE void sum_block(FewRows x, const W* w, int64_t w_stride, int64_t k, FewRows y) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  V sums[M][C];
  for (int i = 0; i < M; ++i) {
    for (int c = 0; c < C; ++c) sums[i][c] = hn::Zero(d);
  }
  for (int64_t at = 0; at < k; ++at) {
    V row[C];
    for (int c = 0; c < C; ++c) row[c] = load(w + at * w_stride + c * lanes);
    for (int i = 0; i < M; ++i) {
      const V v = hn::Set(d, x.data[i * x.stride + at]);
      for (int c = 0; c < C; ++c) sums[i][c] = hn::MulAdd(v, row[c], sums[i][c]);
    }
  }
  for (int i = 0; i < M; ++i) {
    for (int c = 0; c < C; ++c) hn::StoreU(sums[i][c], d, y.data + i * y.stride + c * lanes);
  }
}

template <int M, class W>
HWY_INLINE void sum_all(FewRows x, const W* w, int64_t w_stride, int64_t columns, int64_t k,
                        FewRows y) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(D()));
  // As many sums as there are registers for.
  constexpr int kWide = M > 4 ? (hn::MaxLanes(D()) >= 16 ? 3 : 1) : (M > 2 ? 2 : 4);
  int64_t at = 0;
  for (; at + kWide * lanes <= columns; at += kWide * lanes) {
    sum_block<M, kWide>(x, w + at, w_stride, k, {y.data + at, y.stride});
  }
  if constexpr (kWide > 2) {
    for (; at + 2 * lanes <= columns; at += 2 * lanes) {
      sum_block<M, 2>(x, w + at, w_stride, k, {y.data + at, y.stride});
    }
  }
  for (; at + lanes <= columns; at += lanes) {
    sum_block<M, 1>(x, w + at, w_stride, k, {y.data + at, y.stride});
  }
  for (; at < columns; ++at) {
    for (int i = 0; i < M; ++i) {
      float total = 0;
      for (int64_t j = 0; j < k; ++j) {
        total += x.data[i * x.stride + j] * number(w + j * w_stride + at);
      }
      y.data[i * y.stride + at] = total;
    }
  }
}

template <class W>
void sum_typed(FewRows x, int64_t m, StoredRows w, int64_t columns, int64_t k, FewRows y) {
  const W* data = static_cast<const W*>(w.data);
  switch (m) {
    case 1:
      return sum_all<1>(x, data, w.stride, columns, k, y);
    case 2:
      return sum_all<2>(x, data, w.stride, columns, k, y);
    case 3:
      return sum_all<3>(x, data, w.stride, columns, k, y);
    case 4:
      return sum_all<4>(x, data, w.stride, columns, k, y);
    case 5:
      return sum_all<5>(x, data, w.stride, columns, k, y);
    case 6:
      return sum_all<6>(x, data, w.stride, columns, k, y);
    case 7:
      return sum_all<7>(x, data, w.stride, columns, k, y);
    default:
      return sum_all<8>(x, data, w.stride, columns, k, y);
  }
}

void DotRows(FewRows x, int64_t m, StoredRows w, int64_t rows, int64_t k, FewRows y) {
  switch (w.dtype) {
    case DType::kF32:
      return dot_typed<float>(x, m, w, rows, k, y);
    case DType::kF16:
      return dot_typed<hwy::float16_t>(x, m, w, rows, k, y);
    default:
      return dot_typed<hwy::bfloat16_t>(x, m, w, rows, k, y);
  }
}

void SumRows(FewRows x, int64_t m, StoredRows w, int64_t columns, int64_t k, FewRows y) {
  switch (w.dtype) {
    case DType::kF32:
      return sum_typed<float>(x, m, w, columns, k, y);
    case DType::kF16:
      return sum_typed<hwy::float16_t>(x, m, w, columns, k, y);
    default:
      return sum_typed<hwy::bfloat16_t>(x, m, w, columns, k, y);
  }
}

// A vector of one column of as many rows as it has lanes, one after the other.
void Transpose(FewRows from, int64_t rows, int64_t columns, float* to, int64_t to_stride) {
  const D d;
  const hn::RebindToSigned<D> di;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t row = 0;
  if (from.stride * lanes < std::numeric_limits<int32_t>::max()) {
    const auto at = hn::Mul(hn::Iota(di, 0), hn::Set(di, static_cast<int32_t>(from.stride)));
    for (; row + lanes <= rows; row += lanes) {
      const float* base = from.data + row * from.stride;
      for (int64_t j = 0; j < columns; ++j) {
        hn::StoreU(hn::GatherIndex(d, base + j, at), d, to + j * to_stride + row);
      }
    }
  }
  for (; row < rows; ++row) {
    for (int64_t j = 0; j < columns; ++j) {
      to[j * to_stride + row] = from.data[row * from.stride + j];
    }
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace mw::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mw::cpu {

HWY_EXPORT(DotRows);
HWY_EXPORT(SumRows);
HWY_EXPORT(Transpose);

void dot_rows(FewRows x, int64_t m, StoredRows w, int64_t rows, int64_t k, FewRows y) {
  MW_CHECK(m >= 1 && m <= kMaxDotRows);
  HWY_DYNAMIC_DISPATCH(DotRows)(x, m, w, rows, k, y);
}

void sum_rows(FewRows x, int64_t m, StoredRows w, int64_t columns, int64_t k, FewRows y) {
  MW_CHECK(m >= 1 && m <= kMaxSumRows);
  HWY_DYNAMIC_DISPATCH(SumRows)(x, m, w, columns, k, y);
}

void transpose(FewRows from, int64_t rows, int64_t columns, float* to, int64_t to_stride) {
  HWY_DYNAMIC_DISPATCH(Transpose)(from, rows, columns, to, to_stride);
}

}  // namespace mw::cpu
#endif  // HWY_ONCE
