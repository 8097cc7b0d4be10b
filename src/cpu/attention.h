// Attention as one step: softmax(scale Q K^T + mask) V, a few queries at a time, without ever
// holding the scores of all of them.
#pragma once

#include <memory>
#include <optional>

#include "plan/claim.h"

namespace mw::cpu {

// Places have the shape [batch.., rows, columns]; a stride of 0 repeats. Operands may be fp16 or
// bf16, and the result is then fp32 all the same, or rounded to bf16 where that is all that
// follows.
struct Attention {
  Shape batch;
  int64_t queries = 0, keys = 0, depth = 0, value_depth = 0;
  plan::Place query;                // [batch.., queries, depth]
  plan::Place key;                  // [batch.., keys, depth], side by side along either axis
  plan::Place value;                // [batch.., keys, value_depth]
  std::optional<plan::Place> mask;  // [batch.., queries, keys]: floats to add, or bools to keep
  float scale = 1;
  bool shares_keys = false;  // the queries are those of several heads
};

// Whether dtypes and strides suit make_attention.
bool can_attend(const Attention& attention);
std::unique_ptr<plan::Kernel> make_attention(plan::Claim& claim, const Attention& attention);
// Says of the claim's step what it does: kind, floating-point operations and bytes.
void describe_attention(plan::Claim& claim, const Attention& a, bool is_gradient = false);

}  // namespace mw::cpu
