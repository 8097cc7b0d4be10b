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

// As ir::AdapterRule::rows.
ir::Value* rows_of_matrix(ir::Builder& builder, ir::Value* matrix, ir::Value* a,
                          bool outputs_first);
// As ir::AdapterRule::outputs_axis.
int64_t outputs_axis_from_right(const ir::Operation& op, bool swapped);
int64_t outputs_axis_from_left(const ir::Operation& op, bool swapped);

}  // namespace mw::ops
