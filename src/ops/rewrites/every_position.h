// every_position(): a net that is there for one token with its logits, and for a block of tokens
// without them, as one function with the logits of each token of a block.
//
//   one(ids [1, 1])   = head(layers(ids))
//   block(ids [1, B]) = layers(ids)[:, 0:1]          its result says nothing: it writes the cache
//                  =>   head(layers(ids [1, B]))
#pragma once

#include <memory>

#include "ir/op_def.h"

namespace mw::ops {

// Arguments are those of `block`, results those of `one`, with B in place of an extent of 1.
// Weights that both functions have are called as in `one`. Null where the two are not of this form:
// where the results of `block` do not all come from one slice of one position, where the layers do
// not end in an op with a weight that both have, or where the head is not one of each position.
std::unique_ptr<ir::Function> every_position(const ir::Function& one, const ir::Function& block,
                                             const ir::Catalog& catalog);

}  // namespace mw::ops
