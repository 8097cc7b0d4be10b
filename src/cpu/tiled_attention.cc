// Keys and values at the end that are zero are products that need no computing: the places of a
// cache that no token has taken.
#include "cpu/tiled_attention.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "cpu/attention_tiles.h"
#include "cpu/primitives.h"
#include "cpu/zero_rows.h"

namespace mw::cpu {
namespace {

using plan::Claim;
using plan::Frame;
using plan::Place;

class TiledAttention : public AttentionTiles {
 public:
  TiledAttention(Claim& claim, const Attention& a, const Place& y)
      : AttentionTiles(a),
        value_(a.value, a.keys, layout_),
        y_(y),
        rounds_(y.dtype != DType::kF32) {
    rounded_stride_ = row_stride(a.value_depth);
    if (rounds_) rounded_ = layout_.take(most_rows_ * rounded_stride_);
    // Queries of few heads are shared among the workers, whole tiles of them.
    const int64_t tiles = (a.queries + tile_ - 1) / tile_;
    const int64_t wanted = std::clamp(int64_t{4} * claim.slots() / heads_, int64_t{1}, tiles);
    at_once_ = (tiles + wanted - 1) / wanted * tile_;
    parts_ = (a.queries + at_once_ - 1) / at_once_;
    take_workspace(claim, heads_ * parts_);
  }

  [[nodiscard]] int64_t copied() const { return heads_ * parts_ * key_.copied(); }

  void run(const Frame& frame) const override {
    for_units(frame, heads_ * parts_, [&](float* own, int64_t unit) {
      const int64_t first = unit % parts_ * at_once_;
      run_part(frame, own, unit / parts_, first, std::min(first + at_once_, a_.queries));
    });
  }

 private:
  void run_part(const Frame& frame, float* own, int64_t head, int64_t first, int64_t last) const {
    const TileRows values = value_.rows(frame, head, 0, a_.keys, own);
    TileRows rows;
    if (!key_.lies_turned()) rows = key_.rows(frame, head, own);
    Keys keys{key_.turned(frame, head, rows, own), a_.keys, kInfinity};
    int64_t rows_used = a_.keys;
    if (!key_.lies_turned()) {
      rows_used =
          keys_before_zeros({rows.data, DType::kF32, rows.stride}, a_.depth,
                            {values.data, DType::kF32, values.stride}, a_.value_depth, a_.keys);
      const bool finite = a_.mask && std::isfinite(largest_norm(values, a_.keys, a_.value_depth));
      if (finite) keys.largest = largest_norm(rows, a_.keys, a_.depth);
    }
    for (int64_t row = first; row < last; row += tile_) {
      Tile tile = tile_at(frame, head, row, last, own);
      keys.used = a_.keys;
      const bool leaves_out =
          rows_used < a_.keys && std::isfinite(largest_norm(tile.query, tile.count, a_.depth));
      if (leaves_out) keys.used = rows_used;
      run_tile(frame, keys, tile, values, own);
    }
  }

  void run_tile(const Frame& frame, const Keys& keys, Tile& tile, TileRows values,
                float* own) const {
    float sums[kQueries];
    weigh(frame, keys, tile, own, sums);
    const int64_t begin = tile.keys.begin;
    std::byte* result = y_.at(frame, tile.head, tile.first);
    float* y = rounds_ ? own + rounded_ : reinterpret_cast<float*>(result);
    const int64_t stride = rounds_ ? rounded_stride_ : y_.row_step();
    multiply_tile({own + scores_ + begin, scores_stride_, 1, values.data + begin * values.stride,
                   values.stride, y, stride, tile.count, a_.value_depth,
                   std::clamp(keys.used, begin, tile.keys.end) - begin, false});
    const auto width = static_cast<size_t>(a_.value_depth);
    for (int64_t i = 0; i < tile.count; ++i) {
      affine_(y + i * stride, y + i * stride, width, 1 / sums[i], 0);
      if (rounds_) store_(y + i * stride, result + i * y_.row_step() * y_.place().item(), width);
    }
  }

  HeadMatrices value_, y_;
  bool rounds_;
  int64_t rounded_stride_ = 0, rounded_ = 0, at_once_ = 1, parts_ = 1;
  UnaryLoop affine_ = unary_loop(plan::RowOp::kAffine);
  StoreLoop store_ = store_loop(DType::kBF16);
};

}  // namespace

bool can_tile(const Attention& a) {
  return can_read_rows(a.query) && can_read_rows(a.key) && can_read_rows(a.value) &&
         (!a.mask || can_read_mask(*a.mask));
}

std::unique_ptr<plan::Kernel> make_tiled_attention(Claim& claim, const Attention& a) {
  const bool rounds = a.query.dtype == DType::kBF16 && claim.take_rounding(DType::kBF16);
  Shape shape = a.batch;
  shape.insert(shape.end(), {a.queries, a.value_depth});
  Place y;
  MW_CHECK(plan::reshape(claim.result_for_view(), shape, y));
  MW_CHECK(rounds == (y.dtype == DType::kBF16));
  describe_attention(claim, a);
  auto kernel = std::make_unique<TiledAttention>(claim, a, y);
  claim.set_copied(kernel->copied());
  return kernel;
}

}  // namespace mw::cpu
