// What ops that take positions share: reading and checking them, and cutting a shape at an axis.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ops/shape/move.h"

namespace mw::ops {

// The index dtypes of iOS16 and of iOS17.
std::vector<DType> gather_index_dtypes_ios16();
std::vector<DType> gather_index_dtypes_ios17();

// Reads the elements of `indices`. A negative index counts from the end, unless validate_indices is
// set: then, as MIL says, it is out of range. An index out of range is an error that names it and
// the range.
class IndexReader {
 public:
  explicit IndexReader(Eval& e);
  [[nodiscard]] size_t size() const { return values_.size(); }
  // Element i as a position below `extent`.
  [[nodiscard]] int64_t at(size_t i, int64_t extent) const;
  [[nodiscard]] std::vector<int64_t> all(int64_t extent) const;

 private:
  const Eval* eval_;
  bool strict_;
  std::vector<int64_t> values_;
};

// Of 32 bits at most, signed where they have as many.
bool is_index(DType dtype);
// Element i of such integers that lie one after the other.
int64_t integer_at(const std::byte* integers, DType dtype, int64_t i);

// A static shape seen as [outer, extent, inner] around an axis.
struct AxisCut {
  int64_t outer, extent, inner;
};
AxisCut cut_at(const Shape& shape, int64_t axis);

}  // namespace mw::ops
