// What is done to a function before it is lowered to a plan.
#pragma once

#include <vector>

#include "passes/pipeline.h"
#include "plan/plan.h"

namespace mw::plan {

std::vector<passes::Listing> pipelines();

// Changes the function as it is planned best. The casts that were added: where a function is moved
// to other extents, each has those of its operand.
std::vector<ir::Value*> prepared(ir::Function& function, const Request& request);

}  // namespace mw::plan
