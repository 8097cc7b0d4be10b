// A package and the function of it that runs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "api/impl.h"

namespace mw {

// All behind `path`, `options`, `watch` and `model`, which are there. Throws where the function is
// not in the package or cannot be run.
void open(CoreMLModelWrapper::Impl& impl);
// Of a function in the compute dtype, which outlives it. `taps`: values to keep beside the outputs.
std::unique_ptr<exec::Session> make_session(const CoreMLModelWrapper::Impl& impl,
                                            const ir::Function& function,
                                            const std::vector<std::string>& taps);

}  // namespace mw
