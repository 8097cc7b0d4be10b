// reference_step(): an op run by its reference implementation.
#pragma once

#include <functional>
#include <memory>

#include "plan/values.h"

namespace mw::plan {

// Whether all extents of its operands and results are known.
bool all_static(const ir::Operation& op);

// `lower` plans a nested block; what that captures from outside becomes an operand of the step.
Step reference_step(const BlockFacts& block, Values& values, const ir::OpView& op,
                    const std::function<std::shared_ptr<const Plan>(const ir::Block&)>& lower);

}  // namespace mw::plan
