// remove_dead_ops(): drops what nothing uses.
//
//   a = relu(x)                      a = relu(x)
//   b = exp(x)            =>         -> (a)
//   -> (a)
#pragma once

#include "passes/pipeline.h"

namespace mw::passes {

inline constexpr PassName kDeadCode = {"dead_code", "drops what nothing uses"};

// Removes ops whose results nothing uses and that write no state, nested blocks included.
void remove_dead_ops(ir::Function& function, const ir::Catalog& catalog);

}  // namespace mw::passes
