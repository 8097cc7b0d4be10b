// Scores, what hides keys, and softmax of a tile.
#include "cpu/attention_tiles.h"

#include <algorithm>
#include <cmath>

namespace mw::cpu {
namespace {

constexpr int64_t kFewestQueries = 8;  // of a tile, however many keys there are
constexpr int64_t kScores = 1 << 16;   // of a tile, that suit the cache
constexpr float kVanishes = 110;       // e^-104 is zero in fp32

}  // namespace

AttentionTiles::AttentionTiles(const Attention& a)
    : a_(a),
      heads_(count_of(a.batch)),
      scores_stride_(row_stride(a.keys)),
      most_rows_(std::min(a.queries, kQueries)) {
  tile_ = std::min(most_rows_, std::max(kScores / scores_stride_ / 8 * 8, kFewestQueries));
  query_ = HeadMatrices(a.query, most_rows_, layout_);
  key_ = TurnedMatrices(a.key, layout_);
  if (a.mask) mask_ = HeadMask(*a.mask, scores_floats(), layout_);
  scores_ = take_scores();
}

int64_t AttentionTiles::scores_floats() const {
  return std::min(most_rows_ * scores_stride_, std::max(kScores, kFewestQueries * scores_stride_));
}

void AttentionTiles::take_workspace(plan::Claim& claim, int64_t units) {
  slots_ = static_cast<int>(std::min<int64_t>(claim.slots(), units));
  workspace_ = claim.workspace(slots_ * layout_.size() * int64_t{sizeof(float)}).ref;
}

AttentionTiles::Tile AttentionTiles::tile_at(const plan::Frame& frame, int64_t head, int64_t first,
                                             int64_t last, float* own) const {
  Tile tile{{}, head, first, std::min(tile_, last - first), {0, a_.keys}};
  tile.query = query_.rows(frame, head, first, tile.count, own);
  return tile;
}

void AttentionTiles::weigh(const plan::Frame& frame, const Keys& keys, Tile& tile, float* own,
                           float* sums) const {
  TileRows mask;
  if (a_.mask) {
    mask = mask_.rows(frame, tile.head, tile.first, tile.count, own);
    const float norm = largest_norm(tile.query, tile.count, a_.depth);
    const float spread = 2.02F * std::abs(a_.scale) * norm * keys.largest + kVanishes;
    if (std::isfinite(spread)) tile.keys = kept_keys(mask, tile.count, a_.keys, spread);
  }
  const auto [begin, end] = tile.keys;
  const int64_t computed = std::clamp(keys.used, begin, end);
  float* scores = own + scores_;
  multiply_tile({tile.query.data, tile.query.stride, 1, keys.turned.data + begin,
                 keys.turned.stride, scores + begin, scores_stride_, tile.count, computed - begin,
                 a_.depth, false});
  for (int64_t i = 0; i < tile.count; ++i) {
    float* row = scores + i * scores_stride_;
    std::fill(row + computed, row + end, 0.0F);
    const float* added = a_.mask ? mask.data + i * mask.stride + begin : nullptr;
    sums[i] = softmax_row(row + begin, added, static_cast<size_t>(end - begin), a_.scale);
  }
}

}  // namespace mw::cpu
