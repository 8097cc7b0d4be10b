// Ops that compute along one axis: floats `x` to a result of its shape, line by line along `axis`.
#pragma once

#include "ops/support.h"

namespace mw::ops {

// Type of input `x`, of rank 1 or more and with the axis `axis`.
Type infer_along_axis(const OpView& op);

// Calls row(x, y, count, stride) for the `count` elements, `stride` apart, of each line along
// `axis`, those of `x` and those of the result.
template <class Row>
void evaluate_along_axis(Eval& e, const Row& row) {
  const Tensor& x = e.in("x");
  const auto axis = static_cast<size_t>(e.axis("axis", x.rank()));
  const int64_t count = x.shape()[axis], stride = product(x.shape(), axis + 1, x.shape().size());
  Tensor& y = e.out();
  dispatch_float(x.dtype(), [&]<class T>(T) {
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    for (int64_t line = 0; count > 0 && line < x.count() / count; ++line) {
      const int64_t first = line / stride * count * stride + line % stride;
      row(from + first, to + first, count, stride);
    }
  });
}

}  // namespace mw::ops
