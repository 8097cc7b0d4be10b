// The gradients of attention. The weights are computed again, a tile of queries at a time.
#pragma once

#include <memory>
#include <optional>

#include "cpu/attention.h"

namespace mw::cpu {

// Results, fp32 without gaps; absent ones are not computed.
struct AttentionGradients {
  plan::Place y_grad;                            // [batch.., queries, value_depth]
  std::optional<plan::Place> query, key, value;  // as the operands, but of the whole batch
  std::optional<plan::Place> mask;               // [batch.., queries, keys]
};

bool can_make_gradients(const Attention& a, const AttentionGradients& gradients);
std::unique_ptr<plan::Kernel> make_attention_gradients(plan::Claim& claim, const Attention& a,
                                                       const AttentionGradients& gradients);

}  // namespace mw::cpu
