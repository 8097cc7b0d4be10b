// What the losses over classes share: logits as rows, and which labels count.
#pragma once

#include "ops/expr.h"

namespace mw::ops {

// [.., classes] as [n, classes].
Expr as_rows(Builder& b, Value* logits);
// Labels [..] as [n, 1].
Expr as_column(Builder& b, Value* labels);
// x - max(x) of each row, and log(sum(exp(x))) of rows that were shifted so.
Expr shifted_rows(const Expr& x);
Expr log_sum_exp_rows(const Expr& shifted);

}  // namespace mw::ops
