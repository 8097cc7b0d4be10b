// generated(): a model's continuation of a prompt, with what its callers may ask on the way.
#pragma once

#include <vector>

#include "lm/generate.h"
#include "millwright/millwright.hpp"

namespace mw {

// As CoreMLModelWrapper::generate(), with other hooks than a callback.
Generation generated(const CoreMLModelWrapper& model, const std::vector<int32_t>& prompt,
                     const GenerationSettings& settings, const lm::GeneratorHooks& hooks);

}  // namespace mw
