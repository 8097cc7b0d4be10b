// Caches that are no states: keys and values that go in, and come out for the next call.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lm/input_roles.h"
#include "millwright/feature.hpp"

namespace mw::lm {

struct Cache {
  std::string input, output;
  DType dtype = DType::kF32;
  Shape empty;         // before the first call
  int64_t axis = -1;   // that grows with the text; -1: none, the output has the input's shape
  int64_t hidden = 0;  // extent of `empty` along it: places that hold nothing
  int64_t most = 0;    // largest extent along it that goes in; INT64_MAX: no bound
};

// past_key_values_0_key and present_0_key, keyCache and presentKeys, k_cache and new_k_cache: an
// input and the only output that say key or value of the same layer, in shapes that agree. An input
// that `stated` names goes with the output stated there; throws invalid_argument where the model
// has none of that name or its shape does not agree.
std::vector<Cache> caches_of(const std::vector<FeatureDescription>& inputs,
                             const std::vector<FeatureDescription>& outputs,
                             const std::vector<StatedRole>& stated);

}  // namespace mw::lm
