// Recognising attention where a program spells it out.
#pragma once

#include <memory>

#include "plan/backend.h"

namespace mw::ops {

// For a matmul that ends matmul - scale - mask - softmax - matmul: one kernel for all of them. Null
// when the claim's op is not the end of such a chain, or something else needs a link of it.
std::unique_ptr<plan::Kernel> make_spelled_attention(plan::Claim& claim);

}  // namespace mw::ops
