// promote_states(): a state that is read after it was written gives what was written.
//
//   write_state(input = s, data = x)
//   y = read_state(input = s)              =>        y = x
#pragma once

#include "ir/op_def.h"

namespace mw::ops {

// In the body of the function; ops with nested blocks that write states part what is known before
// them from what is known after. Writes stay. Where the state has another float type than what was
// written, a cast to it stands between.
void promote_states(ir::Function& function, const ir::Catalog& catalog);

}  // namespace mw::ops
