// Products and softmax of tiles that stay in cache: what attention is made of.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mw::cpu {

// y[i][j] = sum over l of a[i][l] b[l][j], or that added to y. Strides are in elements; rows of b
// and of y are side by side. Each element is summed over l in order, whatever the sizes.
struct TileProduct {
  const float* a = nullptr;
  int64_t a_row = 0, a_step = 1;
  const float* b = nullptr;
  int64_t b_row = 0;
  float* y = nullptr;
  int64_t y_row = 0;
  int64_t m = 0, n = 0, k = 0;
  bool adds = false;
};
void multiply_tile(const TileProduct& product);

// row[i] = e^(x[i] - max x) with x = scale row + mask (where there is one); returns their sum.
float softmax_row(float* row, const float* mask, size_t count, float scale);
// row[i] = e^(row[i] - largest); returns their sum.
float exp_row(float* row, size_t count, float largest);
// The gradient in scores of softmax from that in the weights, in place: w (g - sum w g) factor.
void softmax_slopes(const float* weights, float* slopes, size_t count, float factor);

// Rows of `columns` floats, `stride` apart.
struct TileRows {
  const float* data = nullptr;
  int64_t stride = 0;
};
// The largest Euclidean norm of a row; infinite where a number is not finite.
float largest_norm(TileRows rows, int64_t count, int64_t columns);

struct KeyRange {
  int64_t begin = 0, end = 0;
};
// Columns outside are below the largest number of their row by more than `gap`, in every row. All
// columns where a row has no largest finite number or one that is NaN.
KeyRange kept_keys(TileRows mask, int64_t rows, int64_t columns, float gap);

}  // namespace mw::cpu
