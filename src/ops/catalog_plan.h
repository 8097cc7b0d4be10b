// How the ops of the catalog are planned, whatever the device.
#pragma once

#include "plan/op_plan.h"

namespace mw::ops {

// Immutable, filled on first use, lives forever.
const plan::OpPlans& op_plans();

}  // namespace mw::ops
