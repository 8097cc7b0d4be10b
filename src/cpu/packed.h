// Products of a few rows with a matrix that is stored as codes, read where they lie.
#pragma once

#include <memory>

#include "base/packed.h"
#include "cpu/dots.h"
#include "plan/op_plan.h"

namespace mw::cpu {

inline constexpr int64_t kMaxPackedRows = 8;

// Of rows [first, first + count) the numbers [from, from + length).
struct PackedPart {
  int64_t first = 0, count = 0, from = 0, length = 0;
};
// One row after the other, bit for bit as PackedMatrix defines them.
void read_packed(const PackedMatrix& w, PackedPart part, float* out);

// Whether groups are long enough to multiply them one by one.
bool multiplies_packed(const PackedMatrix& w);
// What dot_packed() reads instead of x, 1 <= m <= kMaxPackedRows rows of w.columns: in the order in
// which codes are unpacked, which depends on the machine. So many floats at most:
int64_t ordered_floats(const PackedMatrix& w, int64_t m);
void order_rows(const PackedMatrix& w, FewRows x, int64_t m, float* ordered);
// y[i][j] = sum_k x[i][k] w[first + j][k] for i < m and j < rows.
void dot_packed(const PackedMatrix& w, const float* ordered, int64_t m, int64_t first, int64_t rows,
                FewRows y);

// A reader of the same weight that unpacks vectors; the given one where it has no packed().
std::shared_ptr<const plan::WeightReader> packed_reader(
    std::shared_ptr<const plan::WeightReader> reader);

}  // namespace mw::cpu
