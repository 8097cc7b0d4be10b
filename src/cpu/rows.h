// Row programs on the CPU.
#pragma once

#include <memory>

#include "plan/backend.h"
#include "plan/row.h"

namespace mw::cpu {

std::unique_ptr<plan::Kernel> make_rows(plan::RowProgram program, const plan::Workspace& workspace);

}  // namespace mw::cpu
