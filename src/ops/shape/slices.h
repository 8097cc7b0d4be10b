// How slice_by_index and slice_update read begin, end, stride and the three masks.
#pragma once

#include <vector>

#include "ops/expr.h"
#include "ops/shape/move.h"

namespace mw::ops {

// One axis of a slice: elements begin, begin + stride, ... `count` of them; kAny where not known.
struct Slice {
  int64_t begin = 0, stride = 1, count = 0;
  bool squeezed = false;  // the axis is dropped from the result; count is 1
};

// Python's rules: negative positions count from the end and positions beyond an end are moved to
// it; a squeezed axis is indexed at `begin`, which must exist. Checks all inputs against the shape
// of x.
std::vector<Slice> slices_of(const OpView& op, const Shape& x);
// Extents of the result.
Shape sliced_shape(const std::vector<Slice>& slices);
// Where the elements of the slice lie within x, for a walk over sliced_shape().
Layout sliced_layout(const std::vector<Slice>& slices, const Shape& x);

// Zeros of shape x, but for the slice, which holds g. A squeezed axis may be indexed by an element
// of `begin` that only a run knows.
Expr unsliced(const Vjp& v, const std::vector<Slice>& slices, const Shape& x, Expr g);

// The slice inputs of an op whose index vectors are of domain U from iOS17 on.
void declare_slice_inputs(OpDef& def, std::vector<DType> index_dtypes);

}  // namespace mw::ops
