// Operands of products as they are kept: narrow, and heads that several queries share, once.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <optional>

#include "ir/widening.h"
#include "ops/support.h"
#include "plan/claim.h"

namespace mw::ops {

// The operand of one of these dtypes behind a widening cast that has not been computed, where there
// is one: keys and values are read in the dtype they are kept in.
inline const Operand& stored(const plan::Claim& claim, const Operand& operand,
                             std::initializer_list<DType> dtypes = {DType::kF16}) {
  const bool waits = claim.waiting(operand) != nullptr;
  const Operand* narrow = waits ? ir::before_widening(operand) : nullptr;
  if (narrow == nullptr) return operand;
  const bool reads = std::ranges::find(dtypes, narrow->value->type.dtype()) != dtypes.end();
  return reads ? *narrow : operand;
}

// Heads that several queries share are repeated and then counted as one axis more, which only a
// copy could say: that reshaping waits, and the batch is cut instead, as what is repeated lies.
struct SharedHeads {
  const Operand* operand = nullptr;  // before it was reshaped
  Shape batch;                       // of as many elements
};

// Of an operand [batch.., rows, columns]; nullopt: nothing waits behind it, or it does not keep
// rows and columns.
inline std::optional<SharedHeads> shared_heads(const plan::Claim& claim, const Operand& operand,
                                               const Shape& batch) {
  const Operation* op = claim.waiting(operand);
  if (op == nullptr || op->type != "reshape") return std::nullopt;
  const OpView view = claim.view(*op);
  Shape before = view.shape("x");
  const Shape after = op->outputs[0]->type.shape();
  if (before.size() < 3 || after.size() < 3) return std::nullopt;
  if (!std::equal(before.end() - 2, before.end(), after.end() - 2, after.end())) {
    return std::nullopt;
  }
  before.resize(before.size() - 2);
  if (count_of(before) != count_of(batch)) return std::nullopt;
  return SharedHeads{&view.operand("x"), std::move(before)};
}

// The same rows [.., rows, columns] with the batch cut otherwise; nullopt: its strides cannot say
// it.
inline std::optional<plan::Place> recut(const plan::Place& place, const Shape& batch) {
  plan::Place cut;
  Shape shape = batch;
  shape.insert(shape.end(), place.shape.end() - 2, place.shape.end());
  if (shape == place.shape) return place;
  if (!plan::reshape(place, shape, cut)) return std::nullopt;
  std::copy(place.strides.end() - 2, place.strides.end(), cut.strides.end() - 2);
  return cut;
}

}  // namespace mw::ops
