// flatten2d: y = x as a matrix, axes before `axis` as its rows and the others as its columns.
#include "ops/shape/move.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

Type infer(const OpView& op) {
  const Type x = op.tensor_type("x");
  int64_t axis = integer_in(op, "axis", -x.rank(), x.rank());
  if (axis < 0) axis += x.rank();
  const auto cut = static_cast<size_t>(axis);
  return Type::tensor(x.dtype(),
                      {product(x.shape(), 0, cut), product(x.shape(), cut, x.shape().size())});
}

}  // namespace

OpDef flatten2d() {
  return OpDef("flatten2d")
      .types("T", moved_dtypes())
      .input("x", "T")
      .input("axis", DType::kI32, kConst | kOptional, 1)
      .traits(kMovesElements)
      .infer(infer)
      .eval([](Eval& e) { e.set_out(0, e.in("x").reshaped(e.result_type().shape())); })
      .vjp(reshape_back);
}

}  // namespace mw::ops
