// Rows of logits and columns of labels.
#include "ops/loss/rows.h"

#include <algorithm>

namespace mw::ops {

Expr as_rows(Builder& b, Value* logits) {
  const Shape& shape = logits->type.shape();
  const int64_t classes = shape.back();
  return reshape(Expr(b, logits), {count_of(shape) / std::max<int64_t>(classes, 1), classes});
}

Expr as_column(Builder& b, Value* labels) {
  return reshape(Expr(b, labels), {count_of(labels->type.shape()), 1});
}

Expr shifted_rows(const Expr& x) {
  return x - x.op("reduce_max", {{"axes", std::vector<int64_t>{1}}, {"keep_dims", true}});
}

Expr log_sum_exp_rows(const Expr& shifted) { return log(reduce_sum(exp(shifted), {1}, true)); }

}  // namespace mw::ops
