// sink_casts(): what is cast is the part that is used.
#pragma once

#include <vector>

#include "ir/program.h"
#include "plan/op_plan.h"

namespace mw::plan {

// Moves widening casts below ops that only say where elements lie, and out of updates that are
// narrowed again: what is cast is then the part that is used, and a state is updated in its own
// dtype. Returns the results of the casts it added.
std::vector<ir::Value*> sink_casts(ir::Function& function, const OpPlans& plans);

}  // namespace mw::plan
