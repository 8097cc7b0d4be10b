// over_last_axes(): where an op over its last axes is a part of a row program.
#pragma once

#include <optional>

#include "ir/op_view.h"
#include "plan/row.h"

namespace mw::ops {

// The rows of an fp32 `x` whose `axes` (all of them where there are none) are its last ones;
// nullopt for other axes, none, and a scalar.
std::optional<plan::RowDomain> over_last_axes(const ir::OpView& op);

}  // namespace mw::ops
