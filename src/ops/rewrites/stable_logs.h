// stable_logs(): the logarithm of a softmax or of a sigmoid becomes one operation of its input.
//
//   p = softmax(x, axis = a)                             p = softmax(x, axis = a)
//   y = log(p)                               =>          y = mw.log_softmax(x, axis = a)
//
// A probability too small for a float has the logarithm minus infinity, and the product of the
// two derivatives, infinity times zero, is no number.
#pragma once

#include "ir/op_def.h"

namespace mw::ops {

// Also where casts and moves stand between the two. Types are static.
void stable_logs(ir::Function& function, const ir::Catalog& catalog);

}  // namespace mw::ops
