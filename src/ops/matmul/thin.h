// Products of thin factors beside linear and matmul: what their AdapterRules are made of.
#pragma once

#include "ir/builder.h"

namespace mw::ops {

// x (b a)^T or, swapped, x b a, where x is transposed as in `op`. As ir::AdapterRule::product.
ir::Value* thin_from_right(ir::Builder& builder, const ir::Operation& op, ir::Value* a,
                           ir::Value* b, bool swapped);
// b a y or, swapped, (b a)^T y.
ir::Value* thin_from_left(ir::Builder& builder, const ir::Operation& op, ir::Value* a, ir::Value* b,
                          bool swapped);

}  // namespace mw::ops
