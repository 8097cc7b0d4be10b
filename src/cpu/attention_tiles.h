// AttentionTiles: what attention of many queries and its gradients have in common: the weights of a
// tile of queries over all keys.
//
// Keys that a mask keeps from all queries of a tile are left out: where the numbers of a mask in a
// row differ by more than scores can, by a bound from the norms of queries and keys, and e to that
// power is zero, so are weight and slope.
#pragma once

#include <limits>

#include "cpu/attention.h"
#include "cpu/head_operands.h"
#include "cpu/parallel.h"

namespace mw::cpu {

class AttentionTiles : public plan::Kernel {
 protected:
  static constexpr int64_t kQueries = 64;  // of a tile at most
  static constexpr float kInfinity = std::numeric_limits<float>::infinity();

  explicit AttentionTiles(const Attention& a);

  // Room for a number for each query of a tile and each key. The sizes of what is taken grow with
  // the numbers of queries and keys: a plan for fewer fits into the memory of one for more.
  [[nodiscard]] int64_t scores_floats() const;
  int64_t take_scores() { return layout_.take(scores_floats()); }
  // Once all of the layout is taken.
  void take_workspace(plan::Claim& claim, int64_t units);
  // Calls body(own, unit) for each unit, on as many workers as there are.
  template <class Body>
  void for_units(const plan::Frame& frame, int64_t units, const Body& body) const {
    auto* workspace = frame.as<float>(workspace_);
    parallel_blocks(units, 1, slots_, [&](int slot, int64_t begin, int64_t end) {
      for (int64_t unit = begin; unit < end; ++unit) body(workspace + slot * layout_.size(), unit);
    });
  }

  // The keys of a head; the products of its queries with those from `used` on are zero.
  struct Keys {
    TileRows turned;
    int64_t used = 0;
    float largest = kInfinity;  // norm, where every number that weights meet is finite
  };
  // Queries [first, first + count) of a head, and the keys that count for them.
  struct Tile {
    TileRows query;
    int64_t head = 0, first = 0, count = 0;
    KeyRange keys;
  };

  [[nodiscard]] Tile tile_at(const plan::Frame& frame, int64_t head, int64_t first, int64_t last,
                             float* own) const;
  // Finds `tile.keys` and writes e^(score - largest) into these columns of the scores, rows of
  // `scores_stride_` from own + `scores_` on; `sums` are of each row.
  void weigh(const plan::Frame& frame, const Keys& keys, Tile& tile, float* own, float* sums) const;

  Attention a_;
  int64_t heads_ = 1, scores_stride_ = 0, tile_ = 1, scores_ = 0;
  int64_t most_rows_ = 1;  // of a tile, were there few keys
  Layout layout_;
  TurnedMatrices key_;

 private:
  HeadMatrices query_;
  HeadMask mask_;
  int slots_ = 1;
  plan::Ref workspace_;
};

}  // namespace mw::cpu
