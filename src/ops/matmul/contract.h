// Contraction: the batched matrix product behind the reference implementations of linear, matmul,
// einsum, convolution, attention and the recurrent layers.
//
//   Contraction c;  // y[m, n] = sum over k of x[m, k] * w[n, k]
//   c.x_m = offsets(m, k), c.x_k = offsets(k, 1);
//   c.w_k = offsets(k, 1), c.w_n = offsets(n, k);
//   c.y_m = offsets(m, n), c.y_n = offsets(n, 1);
//   contract(c, x, w, y);
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "base/parallel.h"
#include "ops/support.h"

namespace mw::ops {

// y[b, m, n] = sum over k of x[b, m, k] * w[b, k, n]. An element lies at the sum of the offsets of
// its indices, so that any layout, transposed, strided, broadcast or windowed, is a table.
struct Contraction {
  struct Batch {
    int64_t x = 0, w = 0, y = 0;
  };
  std::vector<Batch> batches = {{}};
  std::vector<int64_t> x_m, x_k, w_k, w_n, y_m, y_n;
};

// 0, stride, 2 * stride, ...
std::vector<int64_t> offsets(int64_t count, int64_t stride);
// Offsets of all indices of `shape` under `strides`, in row-major order.
std::vector<int64_t> offsets(const Shape& shape, const std::vector<int64_t>& strides);

namespace detail {

// Columns of w that are multiplied at a time: their sums stay in registers.
inline constexpr int64_t kPanel = 16;
// Multiplications below which waking other threads costs more than it saves.
inline constexpr double kSmall = 1e5;

// Floats accumulate in double; integers modulo 2^64, of which the low bits are kept.
template <class T>
using Sum = std::conditional_t<std::is_floating_point_v<T>, double, uint64_t>;

template <class W, class S>
void pack_panel(const Contraction& c, const W* w, int64_t first, int64_t width, S* panel) {
  for (const int64_t k : c.w_k) {
    for (int64_t j = 0; j < width; ++j) {
      panel[j] = static_cast<S>(w[k + c.w_n[static_cast<size_t>(first + j)]]);
    }
    panel += kPanel;
  }
}

template <class X, class S, class Y>
void multiply_panel(const Contraction& c, const X* x, const S* panel, Y* y, int64_t first,
                    int64_t width) {
  const size_t depth = c.x_k.size();
  for (size_t m = 0; m < c.x_m.size(); ++m) {
    S sums[kPanel] = {};
    const X* row = x + c.x_m[m];
    for (size_t k = 0; k < depth; ++k) {
      const auto factor = static_cast<S>(row[c.x_k[k]]);
      const S* others = panel + k * kPanel;
// Without the pragma g++ interleaves the outer loop, at a fifth of the speed.
#pragma omp simd
      for (int64_t j = 0; j < kPanel; ++j) sums[j] += factor * others[j];
    }
    for (int64_t j = 0; j < width; ++j) {
      y[c.y_m[m] + c.y_n[static_cast<size_t>(first + j)]] = static_cast<Y>(sums[j]);
    }
  }
}

}  // namespace detail

// The same, with w given by the panels that pack(batch, first, width, panel) makes of it: `width`
// columns from `first` on, element (k, j) at panel[k * kPanel + j].
// Every element of y is summed over k in order: the same bits for any number of threads.
template <class X, class Y, class Pack>
void contract_packed(const Contraction& c, const X* x, Y* y, const Pack& pack) {
  using S = detail::Sum<Y>;
  const auto columns = static_cast<int64_t>(c.y_n.size());
  const int64_t panels = (columns + detail::kPanel - 1) / detail::kPanel;
  const int64_t tasks = static_cast<int64_t>(c.batches.size()) * panels;
  const double products = static_cast<double>(c.x_m.size()) * static_cast<double>(c.x_k.size()) *
                          static_cast<double>(detail::kPanel * tasks);
  parallel_for(tasks, products < detail::kSmall ? tasks : 1, [&](int64_t begin, int64_t end) {
    std::vector<S> panel(c.x_k.size() * detail::kPanel);
    for (int64_t task = begin; task < end; ++task) {
      const Contraction::Batch& batch = c.batches[static_cast<size_t>(task / panels)];
      const int64_t first = task % panels * detail::kPanel;
      const int64_t width = std::min(columns - first, detail::kPanel);
      pack(batch, first, width, panel.data());
      detail::multiply_panel(c, x + batch.x, panel.data(), y + batch.y, first, width);
    }
  });
}

template <class X, class W, class Y>
void contract(const Contraction& c, const X* x, const W* w, Y* y) {
  contract_packed(
      c, x, y,
      [&](const Contraction::Batch& batch, int64_t first, int64_t width, detail::Sum<Y>* panel) {
        detail::pack_panel(c, w + batch.w, first, width, panel);
      });
}

// The same for tensors of one dtype: fp32, fp64 or int32.
void contract(const Contraction& c, const Tensor& x, const Tensor& w, Tensor& y);

// A dtype that contract() takes (fp16 included: it is widened), else an error that blames `input`.
void expect_product_dtype(const OpView& op, std::string_view input, size_t index = 0);

}  // namespace mw::ops
