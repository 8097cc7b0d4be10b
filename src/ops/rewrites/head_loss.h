// join_head_and_loss(): cross entropy and the product that its logits come from become one op, so
// that the logits are never whole.
//
//   h = linear(x, weight = w, bias = b)
//   y = reshape(h)                                   x2 = reshape(x)
//   sum, count = mw.cross_entropy(y, labels)   =>    sum, count, dx, dw, db =
//                                                        mw.linear_cross_entropy(x2, w, labels, b)
#pragma once

#include <vector>

#include "ir/op_def.h"

namespace mw::ops {

// Logits in memory at once, twice as many where that is fewer than 256 rows: products keep their
// pace with so many.
inline constexpr int64_t kLogitsAtOnce = int64_t{1} << 23;

// Where there are more than `at_once` logits, the product is linear, matmul or a convolution of
// one element, between it and the loss elements are only moved and the classes stay on one axis,
// and nobody else reads the logits. The op also gives gradients in what depends on `wrt`, values of
// the body. The function's results keep their names. Types are static. What is replaced stays
// behind, unused.
void join_head_and_loss(ir::Function& function, const ir::Catalog& catalog,
                        const std::vector<const ir::Value*>& wrt, int64_t at_once = kLogitsAtOnce);

}  // namespace mw::ops
