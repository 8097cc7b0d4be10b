// make_cast(): the op by which passes change a value's dtype.
#pragma once

#include <memory>
#include <string>

#include "ir/program.h"

namespace mw::ir {

// A cast of the tensor `x` to `dtype`, to be put into `block`; op and result have this name, which
// is free in the function.
std::unique_ptr<Operation> make_cast(Value* x, DType dtype, const std::string& name, Block& block);

}  // namespace mw::ir
