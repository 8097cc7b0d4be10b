// substitute(): uses of values replaced by others, in one sweep.
#pragma once

#include "ir/op_def.h"

namespace mw::ops {

// Every operand and block output that is a key of `map` becomes its value. A result that the
// function returns keeps its name: an identity takes it over.
void substitute(ir::Function& function, const ir::Catalog& catalog, const ir::ValueMap& map);

}  // namespace mw::ops
