// Attention over heads: extents, types, the reference and the ops that it stands for, shared by the
// op of MIL and those of our own.
#pragma once

#include <optional>

#include "ops/expr.h"

namespace mw::ops {

// query [*B, L, E], key [*B, S, E], value [*B, S, EV]; the batch extents broadcast.
struct HeadExtents {
  Shape batch, query_batch, key_batch, value_batch;
  int64_t queries = 0, keys = 0, depth = 0, value_depth = 0;
  // [*B, rows, columns]
  [[nodiscard]] Shape whole(int64_t rows, int64_t columns) const;
};
HeadExtents head_extents(const OpView& op);

// Declares the operands: query, key, value and attn_mask.
OpDef with_heads(OpDef def);

// Checks `query`, `key`, `value` and, where there is one, `attn_mask`; the type of the result.
Type infer_attention(const OpView& op, int64_t least_rank);

// softmax(scale query key^T + mask) value, of the inputs as they are called above. A row that is
// masked throughout gives NaN.
void evaluate_attention(Eval& e, double scale);

// The mask as numbers to add to scores, read through broadcast strides; without one a zero.
struct AddedMask {
  std::vector<double> numbers;
  std::vector<int64_t> strides;  // batch axes, then query and key
};
AddedMask added_mask(Eval& e, const Shape& scores);
// The weights of a row of scores, in place.
void softmax_of_scores(double* row, int64_t keys, double scale, const double* mask, int64_t stride);

// softmax(scale query key^T + mask), of the shape `scores`, which has elements.
Expr attention_weights(const Expr& query, const Expr& key, const std::optional<Expr>& mask,
                       double scale, const Shape& scores);
// The gradient in scale query key^T, from that in the weights.
Expr scores_gradient(const Expr& weights, const Expr& gradient);

}  // namespace mw::ops
