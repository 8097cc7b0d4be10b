// With w = softmax(scale Q K^T + mask) and G = dY V^T: dV = w^T dY, S = w (G - rowsum(w G)) scale,
// dQ = S K, dK = S^T Q. A head is one worker's: sums over its queries have one order.
#include "cpu/attention_gradients.h"

#include <algorithm>
#include <cmath>

#include "cpu/attention_tiles.h"
#include "cpu/primitives.h"
#include "cpu/tiled_attention.h"

namespace mw::cpu {
namespace {

using plan::Claim;
using plan::Frame;

class AttentionGradientKernel : public AttentionTiles {
 public:
  AttentionGradientKernel(Claim& claim, const Attention& a, const AttentionGradients& g)
      : AttentionTiles(a),
        value_(a.value, layout_),
        y_grad_(g.y_grad, most_rows_, layout_),
        wants_scores_(g.query || g.key || g.mask) {
    if (wants_scores_) slopes_ = take_scores();
    if (g.query) query_grad_ = HeadMatrices(*g.query);
    if (g.key) key_grad_ = HeadMatrices(*g.key);
    if (g.value) value_grad_ = HeadMatrices(*g.value);
    if (g.mask) mask_grad_ = HeadMatrices(*g.mask);
    take_workspace(claim, heads_);
  }

  [[nodiscard]] int64_t copied() const { return heads_ * (key_.copied() + value_.copied()); }

  void run(const Frame& frame) const override {
    for_units(frame, heads_, [&](float* own, int64_t head) { run_head(frame, own, head); });
  }

 private:
  // Of the operands and results of a head, what is alike for all of its tiles.
  struct Head {
    Keys keys;
    TileRows key, value_turned;
    float *key_grad = nullptr, *value_grad = nullptr;
  };

  [[nodiscard]] float* zeros(const Frame& frame, const std::optional<HeadMatrices>& result,
                             int64_t head, int64_t count) const {
    if (!result) return nullptr;
    auto* to = reinterpret_cast<float*>(result->at(frame, head, 0));
    std::fill_n(to, count, 0.0F);
    return to;
  }

  void run_head(const Frame& frame, float* own, int64_t index) const {
    Head head;
    head.key = key_.rows(frame, index, own);
    head.keys = {key_.turned(frame, index, head.key, own), a_.keys, kInfinity};
    const TileRows values = value_.rows(frame, index, own);
    if (wants_scores_) head.value_turned = value_.turned(frame, index, values, own);
    head.key_grad = zeros(frame, key_grad_, index, a_.keys * a_.depth);
    head.value_grad = zeros(frame, value_grad_, index, a_.keys * a_.value_depth);
    const bool finite = a_.mask && std::isfinite(largest_norm(value_.rows(frame, index, own),
                                                              a_.keys, a_.value_depth));
    const float largest = finite ? largest_norm(head.key, a_.keys, a_.depth) : kInfinity;
    for (int64_t first = 0; first < a_.queries; first += tile_) {
      Tile tile = tile_at(frame, index, first, a_.queries, own);
      const TileRows y_grad = y_grad_.rows(frame, index, first, tile.count, own);
      const float slope = a_.mask ? largest_norm(y_grad, tile.count, a_.value_depth) : 0.0F;
      head.keys.largest = largest;
      if (!std::isfinite(slope)) head.keys.largest = kInfinity;
      run_tile(frame, head, tile, y_grad, own);
    }
  }

  void run_tile(const Frame& frame, const Head& head, Tile& tile, TileRows y_grad,
                float* own) const {
    float sums[kQueries];
    weigh(frame, head.keys, tile, own, sums);
    const int64_t begin = tile.keys.begin, count = tile.keys.end - begin;
    const auto width = static_cast<size_t>(count);
    float* weights = own + scores_ + begin;
    for (int64_t i = 0; i < tile.count; ++i) {
      float* row = weights + i * scores_stride_;
      affine_(row, row, width, 1 / sums[i], 0);
    }
    if (head.value_grad != nullptr) {
      multiply_tile({weights, 1, scores_stride_, y_grad.data, y_grad.stride,
                     head.value_grad + begin * a_.value_depth, a_.value_depth, count,
                     a_.value_depth, tile.count, true});
    }
    if (!wants_scores_) return;
    float* slopes = own + slopes_ + begin;
    multiply_tile({y_grad.data, y_grad.stride, 1, head.value_turned.data + begin,
                   head.value_turned.stride, slopes, scores_stride_, tile.count, count,
                   a_.value_depth, false});
    for (int64_t i = 0; i < tile.count; ++i) {
      float* row = slopes + i * scores_stride_;
      softmax_slopes(weights + i * scores_stride_, row, width, mask_grad_ ? 1 : a_.scale);
      if (!mask_grad_) continue;
      auto* to = reinterpret_cast<float*>(mask_grad_->at(frame, tile.head, tile.first + i));
      std::fill_n(to, a_.keys, 0.0F);
      std::copy_n(row, count, to + begin);
      affine_(row, row, width, a_.scale, 0);
    }
    if (query_grad_) {
      auto* to = reinterpret_cast<float*>(query_grad_->at(frame, tile.head, tile.first));
      multiply_tile({slopes, scores_stride_, 1, head.key.data + begin * head.key.stride,
                     head.key.stride, to, a_.depth, tile.count, a_.depth, count, false});
    }
    if (head.key_grad != nullptr) {
      multiply_tile({slopes, 1, scores_stride_, tile.query.data, tile.query.stride,
                     head.key_grad + begin * a_.depth, a_.depth, count, a_.depth, tile.count,
                     true});
    }
  }

  TurnedMatrices value_;
  HeadMatrices y_grad_;
  bool wants_scores_;
  int64_t slopes_ = 0;
  std::optional<HeadMatrices> query_grad_, key_grad_, value_grad_, mask_grad_;
  UnaryLoop affine_ = unary_loop(plan::RowOp::kAffine);
};

}  // namespace

bool can_make_gradients(const Attention& a, const AttentionGradients& gradients) {
  return can_tile(a) && can_read_rows(gradients.y_grad);
}

std::unique_ptr<plan::Kernel> make_attention_gradients(Claim& claim, const Attention& a,
                                                       const AttentionGradients& gradients) {
  describe_attention(claim, a, true);
  auto kernel = std::make_unique<AttentionGradientKernel>(claim, a, gradients);
  claim.set_copied(kernel->copied());
  return kernel;
}

}  // namespace mw::cpu
