// Convolutions as gradients of convolutions.
#include "ops/conv/gradients.h"

#include <algorithm>

#include "ops/shape/rules.h"

namespace mw::ops {

Movement movement_of(const std::vector<Window>& windows, int64_t groups) {
  Movement m;
  m.groups = groups;
  for (const Window& w : windows) {
    m.strides.push_back(w.stride);
    m.dilations.push_back(w.dilation);
    m.before.push_back(w.before);
  }
  return m;
}

Expr convolved(const Expr& x, const Expr& weight, const Movement& m, const Shape& grid) {
  std::vector<int64_t> pad;
  for (size_t i = 0; i < grid.size(); ++i) {
    const int64_t last = (grid[i] - 1) * m.strides[i] - m.before[i];
    const int64_t reach = (weight.shape()[i + 2] - 1) * m.dilations[i] + 1;
    pad.insert(pad.end(), {m.before[i], std::max<int64_t>(last + reach - x.shape()[i + 2], 0)});
  }
  const Expr y = x.op("conv", {{"weight", weight.value()},
                               {"strides", m.strides},
                               {"pad_type", "custom"},
                               {"pad", pad},
                               {"dilations", m.dilations},
                               {"groups", m.groups}});
  Shape wanted{y.shape()[0], y.shape()[1]};
  wanted.insert(wanted.end(), grid.begin(), grid.end());
  return slice(y, std::vector<int64_t>(wanted.size(), 0), wanted);
}

Expr convolved_back(const Expr& y, const Expr& weight, const Movement& m, const Shape& x) {
  std::vector<int64_t> pad;
  for (const int64_t before : m.before) pad.insert(pad.end(), {before, 0});
  return y.op("conv_transpose", {{"weight", weight.value()},
                                 {"strides", m.strides},
                                 {"pad_type", "custom"},
                                 {"pad", pad},
                                 {"dilations", m.dilations},
                                 {"groups", m.groups},
                                 {"output_shape", x}});
}

Expr weight_gradient(const Expr& x, const Expr& y, const Movement& m, const Shape& kernel) {
  return x.op("mw.conv_weight_gradient", {{"y_grad", y.value()},
                                          {"kernel_sizes", kernel},
                                          {"strides", m.strides},
                                          {"before", m.before},
                                          {"dilations", m.dilations},
                                          {"groups", m.groups}});
}

}  // namespace mw::ops
