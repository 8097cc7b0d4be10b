// round_products(): what products take, and what they give, in bf16.
//
//   y = linear(x, w)  -> fp32      =>      x' = cast(cast(x, "bf16"), "fp32")
//   z = silu(y)                            w' = cast(cast(w, "bf16"), "fp32")
//                                          y = linear(x', w')  -> fp32
//                                          y' = cast(cast(y, "bf16"), "fp32")
//                                          z = silu(y')
#pragma once

#include "ir/op_def.h"
#include "passes/pipeline.h"

namespace mw::passes {

inline constexpr PassName kRoundProducts = {
    "round_products", "rounds what is multiplied, and what a weight makes of it, to bf16"};

// Every float that an op takes as a factor (kFactor) is rounded to bf16, but for results that an op
// keeps unrounded (kUnrounded) and for what is decoded from a compressed constant. Sums stay in
// the dtype that the function is computed in. A product with a weight, a constant or a state that
// the function does not write, is rounded for all who use it, unless it becomes an output or a
// loss is of it (kExact); a product of two computed values, a gradient of a weight above all, is
// not. Where an op multiplies what it computes within, its flag (kFactor, of bool) that says to
// round that becomes true. Everything else is left as it is. Of a function whose floats have one
// dtype.
void round_products(ir::Function& function, const ir::Catalog& catalog);

}  // namespace mw::passes
