// Operands behind casts and reshapings that nothing has been computed of yet.
#include "ops/attention/heads_cpu.h"

#include <algorithm>

#include "base/error.h"
#include "ir/widening.h"
#include "ops/support.h"

namespace mw::ops {

using plan::Claim;
using plan::Place;

const Operand& stored(const Claim& claim, const Operand& operand) {
  const bool waits = claim.waiting(operand) != nullptr;
  const Operand* narrow = ir::before_widening(operand);
  const bool is_half = narrow != nullptr && narrow->value->type.dtype() == DType::kF16;
  return waits && is_half ? *narrow : operand;
}

std::optional<SharedHeads> shared_heads(const Claim& claim, const Operand& operand,
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

Place recut(const Place& place, const Shape& batch) {
  Place cut;
  Shape shape = batch;
  shape.insert(shape.end(), place.shape.end() - 2, place.shape.end());
  if (shape == place.shape) return place;
  MW_CHECK(plan::reshape(place, shape, cut));
  std::copy(place.strides.end() - 2, place.strides.end(), cut.strides.end() - 2);
  return cut;
}

}  // namespace mw::ops
