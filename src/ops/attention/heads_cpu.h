// Operands of products as they are kept: narrow, and heads that several queries share, once.
#pragma once

#include <optional>

#include "plan/claim.h"

namespace mw::ops {

// The fp16 operand behind a widening cast that has not been computed, where there is one: keys and
// values are read in the dtype they are kept in.
const ir::Operand& stored(const plan::Claim& claim, const ir::Operand& operand);

// Heads that several queries share are repeated and then counted as one axis more, which only a
// copy could say: that reshaping waits, and the batch is cut instead, as what is repeated lies.
struct SharedHeads {
  const ir::Operand* operand = nullptr;  // before it was reshaped
  Shape batch;                           // of as many elements
};
// Of an operand [batch.., rows, columns]; nullopt: nothing waits behind it, or it does not keep
// rows and columns.
std::optional<SharedHeads> shared_heads(const plan::Claim& claim, const ir::Operand& operand,
                                        const Shape& batch);

// The same rows [.., rows, columns] with the batch cut otherwise.
plan::Place recut(const plan::Place& place, const Shape& batch);

}  // namespace mw::ops
