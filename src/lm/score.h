// cross_entropy(): what the logits of one position cost for the token that followed.
#pragma once

#include <cstdint>
#include <vector>

namespace mw::lm {

// -log softmax(logits)[label], in fp64. Infinite where the token has no probability; no number
// where a logit is none or infinite. Throws invalid_argument for a label outside the logits.
double cross_entropy(const std::vector<float>& logits, int32_t label);

}  // namespace mw::lm
