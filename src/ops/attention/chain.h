// Attention as programs of older opsets spell it: matmul - scale - mask - softmax - matmul.
#pragma once

#include <optional>
#include <vector>

#include "ir/op_view.h"

namespace mw::ops {

// How a chain of ops is followed from its end.
class Links {
 public:
  virtual ~Links() = default;
  // The op that computes `operand`, where these ops, or one op if there are none of them, are all
  // that use it and it may become a part of something else; else null.
  [[nodiscard]] virtual const ir::Operation* behind(
      const ir::Operand& operand, const std::vector<const ir::Operation*>& users) const = 0;
  [[nodiscard]] virtual ir::OpView view(const ir::Operation& op) const = 0;
};

// softmax(scale query key^T + mask) value, all of one dtype but the mask.
struct AttentionChain {
  const ir::Operand *query = nullptr, *key = nullptr, *value = nullptr, *mask = nullptr;
  bool key_swapped = false;  // given as [depth, keys]
  double scale = 1;
};
// That ends with the op, a matmul. No batch axis comes with the values alone.
std::optional<AttentionChain> find_attention(const Links& links, const ir::OpView& op);

}  // namespace mw::ops
