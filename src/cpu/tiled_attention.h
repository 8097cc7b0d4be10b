// Attention of many queries: a tile of them against all keys at a time, so that the scores are
// never whole.
#pragma once

#include <memory>

#include "cpu/attention.h"

namespace mw::cpu {

// Whether dtypes and strides suit the kernel, and that of the gradients. `a` may be of any number
// of queries.
bool can_tile(const Attention& a);
std::unique_ptr<plan::Kernel> make_tiled_attention(plan::Claim& claim, const Attention& a);

}  // namespace mw::cpu
