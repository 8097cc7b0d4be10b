// Reading and checking of positions for gather, scatter and their kin.
#include "ops/index/indices.h"

namespace mw::ops {

std::vector<DType> gather_index_dtypes_ios16() { return {DType::kI32, DType::kU16, DType::kI16}; }
std::vector<DType> gather_index_dtypes_ios17() {
  return {DType::kI32, DType::kI16, DType::kU16, DType::kI8, DType::kU8};
}

IndexReader::IndexReader(Eval& e)
    : eval_(&e),
      strict_(e.def().find_input("validate_indices") != nullptr && e.flag("validate_indices")),
      values_(integers_of(e.in("indices"))) {}

int64_t IndexReader::at(size_t i, int64_t extent) const {
  const int64_t value = values_[i];
  const int64_t low = strict_ ? 0 : -extent;
  if (value < low || value >= extent) {
    if (extent == 0) {
      eval_->reject("indices", "expected no index into an empty axis, got {}", value);
    }
    eval_->reject("indices", "expected values in [{}, {}], got {}", low, extent - 1, value);
  }
  return value < 0 ? value + extent : value;
}

std::vector<int64_t> IndexReader::all(int64_t extent) const {
  std::vector<int64_t> result(values_.size());
  for (size_t i = 0; i < result.size(); ++i) result[i] = at(i, extent);
  return result;
}

AxisCut cut_at(const Shape& shape, int64_t axis) {
  const auto i = static_cast<size_t>(axis);
  return {product(shape, 0, i), shape[i], product(shape, i + 1, shape.size())};
}

}  // namespace mw::ops
