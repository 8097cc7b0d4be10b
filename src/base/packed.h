// PackedMatrix: numbers that are stored as codes of a few bits, and what the codes stand for.
#pragma once

#include <cstdint>

#include "millwright/tensor.hpp"

namespace mw {

// A matrix [rows, columns], neither of them zero, cut into groups of group_rows x group_columns
// numbers, which divide rows and columns; groups are counted row by row. With `tables` a code is
// the index of its number in the table of its group; without it stands for scale * (code - zero),
// computed in fp32 and rounded to `dtype`.
struct PackedMatrix {
  int64_t rows = 0, columns = 0;
  // rows * columns in row-major order, nothing between the rows: uint1, uint2, uint3, uint4, uint6
  // or uint8 with tables; else int4, uint4, int8 or uint8.
  Tensor codes;
  int64_t group_rows = 1, group_columns = 1;
  const float* tables = nullptr;  // [groups, 2^bits]; whoever gives the matrix keeps them alive
  Tensor scales;                  // one a group: fp16 or fp32
  Tensor zeros;                   // the same: int4, uint4, int8, uint8, fp16 or fp32; empty: all 0
  DType dtype = DType::kF32;      // fp16 or fp32

  // Groups in a row of groups.
  [[nodiscard]] int64_t groups_across() const { return columns / group_columns; }
};

}  // namespace mw
