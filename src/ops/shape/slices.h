// How slice_by_index and slice_update read begin, end, stride and the three masks.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ops/expr.h"
#include "ops/shape/move.h"

namespace mw::ops {

// One axis of a slice: elements begin, begin + stride, ... `count` of them; kAny where not known.
struct Slice {
  int64_t begin = 0, stride = 1, count = 0;
  bool squeezed = false;  // the axis is dropped from the result; count is 1
};

// What a slice does on one axis, before its positions are known.
struct SliceAxis {
  int64_t extent = 0, stride = 1;
  // What begin and end say; nullopt: masked, or not known before the run.
  std::optional<int64_t> begin, end;
  bool begin_masked = false, end_masked = false, squeezed = false;
  std::optional<int64_t> span;  // end - begin, where that is known and they are not
};
// Checks all inputs but the positions, which it enters where they are known.
std::vector<SliceAxis> slice_axes(const OpView& op, const Shape& x);
// The slice of an axis whose extent and positions, but for masked ones, are known; nullopt: a
// squeezed axis is indexed out of range.
std::optional<Slice> slice_of(const SliceAxis& axis);

// "[0:1, :, 5:9:2] of [4, 2, 128]"
std::string text_of(const std::vector<SliceAxis>& axes);

// Python's rules: negative positions count from the end and positions beyond an end are moved to
// it; a squeezed axis is indexed at `begin`, which must exist. Checks all inputs against the shape
// of x.
std::vector<Slice> slices_of(const OpView& op, const Shape& x);
// Extents of the result.
Shape sliced_shape(const std::vector<Slice>& slices);
// Where the elements of the slice lie within x, for a walk over sliced_shape().
Layout sliced_layout(const std::vector<Slice>& slices, const Shape& x);

// The error of an update that does not have the shape of the slice it is to fill.
[[noreturn]] void reject_update(const std::string& where, const std::vector<SliceAxis>& axes,
                                const Shape& sliced, const Shape& update);

// Zeros of shape x, but for the slice, which holds g. A squeezed axis may be indexed by an element
// of `begin` that only a run knows.
Expr unsliced(const Vjp& v, const std::vector<Slice>& slices, const Shape& x, Expr g);

// The slice inputs of an op whose index vectors are of domain U from iOS17 on.
void declare_slice_inputs(OpDef& def, std::vector<DType> index_dtypes);

}  // namespace mw::ops
