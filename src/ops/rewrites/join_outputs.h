// join_outputs(): several results of a function as one.
//
//   return (logits1, logits2)    =>    logits = concat(values = (logits1, logits2), axis = a)
//                                      return (logits1, logits2, logits)
#pragma once

#include <string>
#include <vector>

#include "ir/op_def.h"

namespace mw::ops {

// The results `names`, tensors of one dtype and rank that differ along `axis` only, are joined in
// this order. `joined` is a name that the function leaves free. Throws invalid_argument where they
// do not go together.
ir::Value* join_outputs(ir::Function& function, const ir::Catalog& catalog,
                        const std::vector<std::string>& names, int64_t axis,
                        const std::string& joined);

}  // namespace mw::ops
