// signature_of(): what a loaded model says of itself, as roles are found in it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lm/model.h"
#include "lm/roles.h"

namespace mw::lm {

Signature signature_of(const Model& model);

// The metadata under a key that ends in `name`, whatever stands before it; "" where there is none.
std::string metadata_at_end(const Model& model, const std::string& name);
std::vector<int64_t> numbers_in(const std::string& text);

}  // namespace mw::lm
