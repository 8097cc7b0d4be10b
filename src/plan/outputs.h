// add_outputs(): what a plan hands out.
#pragma once

#include "plan/values.h"

namespace mw::plan {

// The block's outputs, then tapped values: in buffers of their own, in slots, or as constants.
void add_outputs(const BlockFacts& block, Values& values);

}  // namespace mw::plan
