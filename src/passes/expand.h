// expand_ops(): replaces ops of our own by the MIL ops that define them.
//
//                                             d = sub(x, t)
//   loss, n = mw.squared_error(x, t)    =>    s = square(d)
//                                             loss = reduce_sum(s)
//                                             n = 6
#pragma once

#include <functional>

#include "passes/pipeline.h"

namespace mw::passes {

inline constexpr PassName kExpand = {
    "expand", "replaces ops of our own that the device has no kernel for by what defines them"};

// Expands every op of the body that has an `expand` and for which `keep` says no, results of an
// expansion included. Types must be static.
void expand_ops(ir::Function& function, const ir::Catalog& catalog,
                const std::function<bool(const ir::Operation&)>& keep);

}  // namespace mw::passes
