// Rows are copied where they are of halves or lie by columns.
#include "cpu/head_operands.h"

#include <limits>

#include "cpu/dots.h"
#include "cpu/primitives.h"

namespace mw::cpu {
namespace {

using plan::Frame;
using plan::Place;

int64_t inner_step(const Place& place) { return place.strides.back(); }
int64_t outer_step(const Place& place) { return place.strides[place.strides.size() - 2]; }

bool is_stored_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

float* mutable_floats(const std::byte* from) {
  return reinterpret_cast<float*>(const_cast<std::byte*>(from));
}

}  // namespace

HeadMatrices::HeadMatrices(const Place& place) : place_(place), axes_(place.shape.size() - 2) {}

HeadMatrices::HeadMatrices(const Place& place, int64_t at_once, Layout& layout)
    : HeadMatrices(place) {
  if (place.dtype == DType::kF32 && inner_step(place) == 1) return;
  stride_ = row_stride(columns());
  copy_ = layout.take(at_once * stride_);
}

std::byte* HeadMatrices::at(const Frame& frame, int64_t head, int64_t row) const {
  int64_t offset = row * row_step();
  for (size_t axis = axes_; axis-- > 0;) {
    offset += head % place_.shape[axis] * place_.strides[axis];
    head /= place_.shape[axis];
  }
  return frame.at(place_.ref) + offset * place_.item();
}

TileRows HeadMatrices::rows(const Frame& frame, int64_t head, int64_t first, int64_t count,
                            float* own) const {
  const std::byte* from = at(frame, head, first);
  if (copy_ < 0) return {reinterpret_cast<const float*>(from), row_step()};
  float* to = own + copy_;
  if (inner_step(place_) == 1) {
    const LoadLoop load = load_loop(place_.dtype);
    const int64_t step = row_step() * place_.item();
    for (int64_t row = 0; row < count; ++row) {
      load(from + row * step, to + row * stride_, static_cast<size_t>(columns()));
    }
  } else {
    transpose({mutable_floats(from), inner_step(place_)}, columns(), count, to, stride_);
  }
  return {to, stride_};
}

TurnedMatrices::TurnedMatrices(const Place& place, Layout& layout)
    : matrices_(place, place.shape[place.shape.size() - 2], layout) {
  const int64_t rows = matrices_.row_count();
  if (place.dtype == DType::kF32 && outer_step(place) == 1 && rows > 1) {
    stride_ = inner_step(place);
    return;
  }
  stride_ = row_stride(rows);
  copy_ = layout.take(matrices_.columns() * stride_);
}

TileRows TurnedMatrices::turned(const Frame& frame, int64_t head, TileRows rows, float* own) const {
  if (lies_turned()) {
    return {reinterpret_cast<const float*>(matrices_.at(frame, head, 0)), stride_};
  }
  transpose({const_cast<float*>(rows.data), rows.stride}, matrices_.row_count(),
            matrices_.columns(), own + copy_, stride_);
  return {own + copy_, stride_};
}

int64_t TurnedMatrices::copied() const {
  if (lies_turned()) return 0;
  return matrices_.row_count() * matrices_.columns() * int64_t{sizeof(float)};
}

HeadMask::HeadMask(const Place& place, int64_t floats, Layout& layout) : matrices_(place) {
  if (place.dtype == DType::kF32 && inner_step(place) == 1) return;
  stride_ = row_stride(matrices_.columns());
  copy_ = layout.take(floats);
}

TileRows HeadMask::rows(const Frame& frame, int64_t head, int64_t first, int64_t count,
                        float* own) const {
  if (copy_ < 0) return matrices_.rows(frame, head, first, count, own);
  for (int64_t row = 0; row < count; ++row) {
    widen(matrices_.at(frame, head, first + row), own + copy_ + row * stride_);
  }
  return {own + copy_, stride_};
}

void HeadMask::widen(const std::byte* from, float* to) const {
  const bool repeats = inner_step(matrices_.place()) == 0;
  const int64_t columns = matrices_.columns(), count = repeats ? 1 : columns;
  if (matrices_.place().dtype == DType::kBool) {
    constexpr float kHidden = -std::numeric_limits<float>::infinity();
    for (int64_t i = 0; i < count; ++i) to[i] = from[i] == std::byte{0} ? kHidden : 0;
  } else {
    load_loop(matrices_.place().dtype)(from, to, static_cast<size_t>(count));
  }
  if (repeats) std::fill_n(to, columns, *to);
}

bool can_read_rows(const Place& matrix) {
  if (!is_stored_float(matrix.dtype)) return false;
  return inner_step(matrix) == 1 || (matrix.dtype == DType::kF32 && outer_step(matrix) == 1);
}

bool can_read_mask(const Place& mask) {
  return (is_stored_float(mask.dtype) || mask.dtype == DType::kBool) &&
         (inner_step(mask) == 0 || inner_step(mask) == 1);
}

}  // namespace mw::cpu
