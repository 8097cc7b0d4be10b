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

bool is_index(DType dtype) {
  return is_integer(dtype) && bit_width(dtype) >= 8 && bit_width(dtype) <= 32 &&
         dtype != DType::kU32;
}

int64_t integer_at(const std::byte* integers, DType dtype, int64_t i) {
  switch (dtype) {
    case DType::kI32:
      return reinterpret_cast<const int32_t*>(integers)[i];
    case DType::kI16:
      return reinterpret_cast<const int16_t*>(integers)[i];
    case DType::kU16:
      return reinterpret_cast<const uint16_t*>(integers)[i];
    case DType::kI8:
      return reinterpret_cast<const int8_t*>(integers)[i];
    default:
      return reinterpret_cast<const uint8_t*>(integers)[i];
  }
}

AxisCut cut_at(const Shape& shape, int64_t axis) {
  const auto i = static_cast<size_t>(axis);
  return {product(shape, 0, i), shape[i], product(shape, i + 1, shape.size())};
}

}  // namespace mw::ops
