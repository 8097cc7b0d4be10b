// within_memory(): the program of a step, changed where need be so that the step fits in so much
// memory: see autodiff/recompute.h.
#pragma once

#include <cstdint>
#include <memory>

#include "exec/session.h"

namespace mw::training {

struct MemoryLimit {
  uint64_t bytes = 0;   // for all of a step; 0: as little as there can be
  uint64_t beside = 0;  // of them for what lies beside the program: states and such
};

// `function` is a program with a backward pass, as compose() makes it. Throws
// invalid_argument with what a step takes at least when that is more than the limit.
std::unique_ptr<ir::Function> within_memory(const ir::Function& function, const MemoryLimit& limit,
                                            const plan::Platform& platform,
                                            const exec::Planner& planner);

}  // namespace mw::training
