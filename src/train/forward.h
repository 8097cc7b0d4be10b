// forward_at(): the forward pass of a model at concrete shapes, in a form that gradients pass
// through.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "ir/op_def.h"

namespace mw::train {

// Loops of known length are unrolled; what is read from a list or a state after it was written is
// the value that was written.
std::unique_ptr<ir::Function> forward_at(const ir::Function& function, const ir::Catalog& catalog,
                                         const Shapes& shapes);

// The output of that name; throws where there is none. `whose`: "model", for the error.
ir::Value* output_named(const ir::Function& function, const std::string& name, const char* whose);

}  // namespace mw::train
