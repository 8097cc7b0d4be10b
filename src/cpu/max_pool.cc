// Max pooling: the largest element of each window, NaN where a window holds one.
#include <algorithm>
#include <array>
#include <limits>

#include "cpu/convolution.h"
#include "cpu/parallel.h"

namespace mw::cpu {
namespace {

using plan::Frame;
using plan::Place;
using plan::Ref;

constexpr size_t kAxes = 3;  // depth, height, width; the outer ones are 1 where there are fewer

struct Axis {
  int64_t in = 1, out = 1;
  WindowAxis window{1, 1, 1, 0, 0};
  // The outputs whose window has an element at `tap` inside the input.
  [[nodiscard]] std::pair<int64_t, int64_t> reach(int64_t tap) const {
    const int64_t shift = tap * window.dilation - window.before;
    const int64_t first = shift >= 0 ? 0 : (-shift + window.stride - 1) / window.stride;
    const int64_t last = in - 1 - shift;
    return {first, last < 0 ? 0 : std::min(out, last / window.stride + 1)};
  }
};

class MaxPoolKernel : public plan::Kernel {
 public:
  MaxPoolKernel(const Shape& x, const Shape& y, const std::vector<WindowAxis>& windows, Ref from,
                Ref to)
      : planes_(x[0] * x[1]), from_(from), to_(to) {
    const size_t skip = kAxes - windows.size();
    for (size_t i = 0; i < windows.size(); ++i) {
      axes_[skip + i] = {x[i + 2], y[i + 2], windows[i]};
    }
  }

  void run(const Frame& frame) const override {
    const auto* x = frame.as<float>(from_);
    auto* y = frame.as<float>(to_);
    const int64_t in = axes_[0].in * axes_[1].in * axes_[2].in;
    const int64_t out = axes_[0].out * axes_[1].out * axes_[2].out;
    const int64_t grain = std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(out, 1));
    parallel_blocks(planes_, grain, thread_count(), [&](int, int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) plane(x + p * in, y + p * out, out);
    });
  }

 private:
  void plane(const float* x, float* y, int64_t count) const {
    std::fill(y, y + count, -std::numeric_limits<float>::infinity());
    const auto& [depth, height, width] = axes_;
    for (int64_t kd = 0; kd < depth.window.kernel; ++kd) {
      for (int64_t kh = 0; kh < height.window.kernel; ++kh) {
        const auto [d0, d1] = depth.reach(kd);
        const auto [h0, h1] = height.reach(kh);
        for (int64_t d = d0; d < d1; ++d) {
          const int64_t plane_in =
              (d * depth.window.stride + kd * depth.window.dilation - depth.window.before) *
              height.in;
          for (int64_t h = h0; h < h1; ++h) {
            const int64_t row_in =
                h * height.window.stride + kh * height.window.dilation - height.window.before;
            row(x + (plane_in + row_in) * width.in, y + (d * height.out + h) * width.out);
          }
        }
      }
    }
  }

  void row(const float* x, float* y) const {
    const Axis& width = axes_[2];
    for (int64_t k = 0; k < width.window.kernel; ++k) {
      const auto [begin, end] = width.reach(k);
      const float* from = x + k * width.window.dilation - width.window.before;
      for (int64_t w = begin; w < end; ++w) {
        const float v = from[w * width.window.stride];
        y[w] = !(v <= y[w]) && y[w] == y[w] ? v : y[w];
      }
    }
  }

  std::array<Axis, kAxes> axes_;
  int64_t planes_;
  Ref from_, to_;
};

}  // namespace

std::unique_ptr<plan::Kernel> make_max_pooling(plan::Claim& claim, const Shape& x, const Shape& y,
                                               const std::vector<WindowAxis>& windows,
                                               const Place& x_place) {
  if (windows.empty() || windows.size() > kAxes) return nullptr;
  claim.set_kind("pool");
  double per_output = 1;
  for (const WindowAxis& axis : windows) per_output *= static_cast<double>(axis.kernel);
  claim.set_cost(per_output * static_cast<double>(count_of(y)),
                 4 * static_cast<double>(count_of(x) + count_of(y)));
  return std::make_unique<MaxPoolKernel>(x, y, windows, x_place.ref, claim.result().ref);
}

}  // namespace mw::cpu
