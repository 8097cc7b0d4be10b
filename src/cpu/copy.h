// Copies on the CPU.
#pragma once

#include <memory>

#include "plan/kernel.h"

namespace mw::cpu {

// Copies elements of any byte-sized dtype between places of equal shape, whatever their strides.
std::unique_ptr<plan::Kernel> make_copy(const plan::Place& from, const plan::Place& to);

}  // namespace mw::cpu
