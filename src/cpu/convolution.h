// Convolution and means of windows as a library computes them; largest elements of windows by a
// loop of our own, because oneDNN's drops NaN.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "plan/claim.h"

namespace mw::cpu {

// How a window moves over one spatial axis.
struct WindowAxis {
  int64_t kernel = 1, stride = 1, dilation = 1, before = 0, after = 0;
};

// y = f(conv(x, weight) + bias): x [n, c, *d], weight [o, c / groups, *k], y [n, o, *d'], all fp32.
struct Convolution {
  Shape x, y, weight;
  std::vector<WindowAxis> windows;
  int64_t groups = 1;
  plan::Place x_place;
  std::optional<Tensor> frozen_weight;  // packed once ...
  std::string weight_key;               // ... under this name
  std::vector<ir::ConstantPtr> weight_sources;
  std::optional<plan::Place> weight_place;  // or an operand of the run
  std::optional<plan::Place> bias;
};

struct MeanPooling {
  bool counts_padding = false;
  Shape x, y;
  std::vector<WindowAxis> windows;
  plan::Place x_place;
};

// Null for more than three spatial axes.
std::unique_ptr<plan::Kernel> make_max_pooling(plan::Claim& claim, const Shape& x, const Shape& y,
                                               const std::vector<WindowAxis>& windows,
                                               const plan::Place& x_place);

}  // namespace mw::cpu
