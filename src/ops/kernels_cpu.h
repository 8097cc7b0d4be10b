// The kernels that the CPU has for ops, by family.
#pragma once

#include "cpu/backend.h"

namespace mw::ops {

cpu::KernelTable cpu_kernels();

}  // namespace mw::ops
