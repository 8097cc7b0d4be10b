// Products of a few rows with a matrix: what decoding one token at a time consists of.
#pragma once

#include <cstdint>

#include "millwright/tensor.hpp"

namespace mw::cpu {

inline constexpr int64_t kMaxDotRows = 4;
inline constexpr int64_t kMaxSumRows = 8;

// Rows of floats, `stride` apart.
struct FewRows {
  float* data = nullptr;
  int64_t stride = 0;
};
// Rows of fp32, fp16 or bf16 elements.
struct StoredRows {
  const void* data = nullptr;
  DType dtype = DType::kF32;
  int64_t stride = 0;
};

// y[i][j] = sum_k x[i][k] w[j][k] for i < m and j < rows; 1 <= m <= 4.
void dot_rows(FewRows x, int64_t m, StoredRows w, int64_t rows, int64_t k, FewRows y);
// y[i][j] = sum_k x[i][k] w[k][j] for i < m and j < columns; 1 <= m <= 8.
void sum_rows(FewRows x, int64_t m, StoredRows w, int64_t columns, int64_t k, FewRows y);

// to[j][i] = from[i][j] for i < rows and j < columns; rows of `to` are to_stride floats apart.
void transpose(FewRows from, int64_t rows, int64_t columns, float* to, int64_t to_stride);

}  // namespace mw::cpu
