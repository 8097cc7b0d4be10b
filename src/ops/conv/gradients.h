// The three products behind the gradients of convolutions: each of image, weight and result from
// the other two.
#pragma once

#include <vector>

#include "ops/conv/window.h"
#include "ops/expr.h"

namespace mw::ops {

// How a window moves; `before` elements of padding stand in front of each axis.
struct Movement {
  std::vector<int64_t> strides, dilations, before;
  int64_t groups = 1;
};
Movement movement_of(const std::vector<Window>& windows, int64_t groups);

// y[n, o, p] = sum over c, t of x[n, c, p * stride - before + t * dilation] * weight[o, c, t] for
// all positions p below `grid`; elements outside x are 0. x [n, C, *D], weight [O, C / groups, *K].
Expr convolved(const Expr& x, const Expr& weight, const Movement& m, const Shape& grid);
// Its transposes: in x, whose shape is given,
Expr convolved_back(const Expr& y, const Expr& weight, const Movement& m, const Shape& x);
// and in the weight, whose kernel is given.
Expr weight_gradient(const Expr& x, const Expr& y, const Movement& m, const Shape& kernel);

}  // namespace mw::ops
