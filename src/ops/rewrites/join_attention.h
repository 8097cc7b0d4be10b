// join_attention(): the ops that attention is spelled with become one, whose gradient is one as
// well, so that neither holds the weights of all queries.
//
//   s = matmul(q, k, transpose_y = true)
//   p = softmax(add(mul(s, scale), mask))      =>    y = mw.scaled_attention(q, k, v, mask, scale)
//   y = matmul(p, v)
#pragma once

#include "ir/op_def.h"

namespace mw::ops {

// Of chains whose values nobody else reads, and of scaled_dot_product_attention, where query, key
// and value have one rank. The function's results keep their names. Types are static. What is
// replaced stays behind, unused.
void join_attention(ir::Function& function, const ir::Catalog& catalog);

}  // namespace mw::ops
