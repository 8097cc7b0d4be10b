// What the losses over classes share: logits as rows, and which labels count.
#pragma once

#include <optional>

#include "ops/expr.h"

namespace mw::ops {

// [.., classes] as [n, classes].
Expr as_rows(Builder& b, Value* logits);
// Labels [..] as [n, 1].
Expr as_column(Builder& b, Value* labels);
// x - max(x) of each row, and log(sum(exp(x))) of rows that were shifted so.
Expr shifted_rows(const Expr& x);
Expr log_sum_exp_rows(const Expr& shifted);

// What mw.cross_entropy is of.
struct ClassRows {
  Expr logits, labels;  // [.., classes], [..]
  int64_t ignored = 0;  // the label that does not count
  double smoothing = 0;
};
// Its gradient in the logits, [n, classes], times `factor`, a scalar; none: 1.
Expr cross_entropy_slope(const ClassRows& rows, const std::optional<Expr>& factor);

}  // namespace mw::ops
