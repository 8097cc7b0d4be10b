// Convolution through a BLAS: tiles of patches (im2col), each multiplied by the weight as it lies.
#include "cpu/convolution.h"

#include <algorithm>
#include <array>

#include "cpu/blas/library.h"
#include "cpu/parallel.h"
#include "plan/constant_pool.h"

namespace mw::cpu::blas {
namespace {

using plan::Claim;
using plan::Frame;
using plan::Place;
using plan::Ref;

constexpr size_t kAxes = 3;  // depth, height, width; the outer ones are 1 where there are fewer
constexpr int64_t kTileFloats = 1 << 17;

struct Axis {
  int64_t in = 1, out = 1;
  WindowAxis window;
};

class ConvolutionKernel : public plan::Kernel {
 public:
  ConvolutionKernel(Claim& claim, const Convolution& c, Ref weight, Ref y)
      : images_(c.x[0]),
        groups_(c.groups),
        channels_(c.weight[1]),
        outputs_(c.weight[0] / c.groups),
        x_(c.x_place.ref),
        weight_(weight),
        y_(y),
        slots_(claim.slots()) {
    const size_t skip = kAxes - c.windows.size();
    for (size_t i = 0; i < c.windows.size(); ++i) {
      axes_[skip + i] = {c.x[i + 2], c.y[i + 2], c.windows[i]};
    }
    if (c.bias) bias_ = c.bias->ref;
    for (const Axis& axis : axes_) {
      in_ *= axis.in;
      positions_ *= axis.out;
      depth_ *= axis.window.kernel;
    }
    depth_ *= channels_;
    tile_ =
        std::clamp<int64_t>(kTileFloats / depth_, std::min<int64_t>(16, positions_), positions_);
    patches_ = claim.workspace(slots_ * depth_ * tile_ * static_cast<int64_t>(sizeof(float))).ref;
  }

  void run(const Frame& frame) const override {
    const int64_t tiles = (positions_ + tile_ - 1) / tile_;
    parallel_blocks(images_ * groups_ * tiles, 1, slots_,
                    [&](int slot, int64_t begin, int64_t end) {
                      float* patches = frame.as<float>(patches_) + slot * depth_ * tile_;
                      for (int64_t i = begin; i < end; ++i) {
                        one(frame, i / tiles, i % tiles * tile_, patches);
                      }
                    });
  }

 private:
  // Positions [first, first + tile) of a group of an image.
  void one(const Frame& frame, int64_t index, int64_t first, float* patches) const {
    const int64_t group = index % groups_, count = std::min(tile_, positions_ - first);
    const float* x = frame.as<float>(x_) + index * channels_ * in_;
    const float* weight = frame.as<float>(weight_) + group * outputs_ * depth_;
    float* y = frame.as<float>(y_) + index * outputs_ * positions_ + first;
    gather(x, first, count, patches);
    for (int64_t o = 0; bias_ && o < outputs_; ++o) {
      std::fill_n(y + o * positions_, count, frame.as<float>(*bias_)[group * outputs_ + o]);
    }
    multiply({outputs_,
              count,
              depth_,
              {weight, depth_, 1},
              {patches, count, 1},
              y,
              positions_,
              bias_.has_value()});
  }

  // [depth, count]: for each tap of each channel the elements that the windows see there.
  void gather(const float* x, int64_t first, int64_t count, float* patches) const {
    const auto& [d, h, w] = axes_;
    for (int64_t c = 0; c < channels_; ++c, x += in_) {
      for (int64_t kd = 0; kd < d.window.kernel; ++kd) {
        for (int64_t kh = 0; kh < h.window.kernel; ++kh) {
          for (int64_t kw = 0; kw < w.window.kernel; ++kw, patches += count) {
            tap(x, {kd, kh, kw}, first, count, patches);
          }
        }
      }
    }
  }

  void tap(const float* x, const std::array<int64_t, kAxes>& at, int64_t first, int64_t count,
           float* patch) const {
    const auto& [d, h, w] = axes_;
    const auto input = [&](size_t axis, int64_t out) {
      const WindowAxis& window = axes_[axis].window;
      return out * window.stride + at[axis] * window.dilation - window.before;
    };
    for (int64_t p = 0; p < count; ++p) {
      const int64_t position = first + p, row = position / w.out;
      const int64_t id = input(0, row / h.out), ih = input(1, row % h.out);
      const int64_t iw = input(2, position % w.out);
      const bool inside = id >= 0 && id < d.in && ih >= 0 && ih < h.in && iw >= 0 && iw < w.in;
      patch[p] = inside ? x[(id * h.in + ih) * w.in + iw] : 0;
    }
  }

  std::array<Axis, kAxes> axes_;
  int64_t images_, groups_, channels_, outputs_;
  int64_t in_ = 1, positions_ = 1, depth_ = 1, tile_ = 1;
  Ref x_, weight_, y_, patches_;
  std::optional<Ref> bias_;
  int slots_;
};

// A frozen weight in fp32: as it is stored where it is that already.
Ref weight_of(Claim& claim, const Convolution& c) {
  if (!c.frozen_weight) return c.weight_place->ref;
  const auto dense = claim.pool().get<Tensor>(c.weight_key + "|fp32", c.weight_sources, [&] {
    auto made = std::make_shared<Tensor>(c.frozen_weight->to(DType::kF32));
    const int64_t bytes = made->raw() == c.frozen_weight->raw() ? 0 : made->nbytes();
    return plan::ConstantPool::Made{std::move(made), bytes};
  });
  return claim.hold(*dense, dense).ref;
}

}  // namespace

std::unique_ptr<plan::Kernel> make_convolution(Claim& claim, const Convolution& c) {
  if (c.windows.empty() || c.windows.size() > kAxes) return nullptr;
  expect_right_products();
  const Ref weight = weight_of(claim, c);
  const Place y = claim.result();
  return std::make_unique<ConvolutionKernel>(claim, c, weight, y.ref);
}

}  // namespace mw::cpu::blas
