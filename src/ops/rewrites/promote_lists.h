// promote_lists(): reads of lists whose positions are known become the values that were written.
//
//   a = make_list(init_length = 2)
//   b = list_write(ls = a, index = 0, value = x)
//   c = list_write(ls = b, index = 1, value = y)
//   z = list_gather(ls = c, indices = [1, 0])        =>        z = stack(values = (y, x), axis = 0)
#pragma once

#include "ir/op_def.h"

namespace mw::ops {

// Within each block, for lists that are made there; list_length too. Writes stay for others to
// drop when nothing uses them. Results may have more precise types than before: specialise() again.
void promote_lists(ir::Function& function, const ir::Catalog& catalog);

}  // namespace mw::ops
