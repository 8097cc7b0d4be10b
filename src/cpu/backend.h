// The CPU as a device.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "plan/backend.h"
#include "plan/claim.h"

namespace mw::cpu {

// Kernels by the names of ops.
using KernelTable = std::map<std::string, plan::KernelMaker, std::less<>>;

std::unique_ptr<const plan::Backend> make_backend(KernelTable kernels);

}  // namespace mw::cpu
