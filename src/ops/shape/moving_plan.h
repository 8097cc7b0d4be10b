// Slices that begin where a run says, as parts of what they are cut out of.
#pragma once

#include <optional>

#include "ir/op_view.h"
#include "plan/position.h"

namespace mw::ops {

// Of slice_by_index and slice_update; nullopt: the extents depend on the run, too.
std::optional<plan::MovingPart> moving_slice(const ir::OpView& op, const plan::Place& x);
std::optional<plan::MovingPart> moving_slice_by_size(const ir::OpView& op, const plan::Place& x);

}  // namespace mw::ops
