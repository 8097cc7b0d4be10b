// expand_dims: y = x with axes of extent 1 inserted so that they stand at `axes` of y.
#include <algorithm>

#include "ops/shape/move.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

Type infer(const OpView& op) {
  const Type x = op.tensor_type("x");
  const auto added = static_cast<int64_t>(op.ints("axes").size());
  const int64_t rank = x.rank() + added;
  if (rank > static_cast<int64_t>(kMaxRank)) {
    op.reject("axes", "expected a result of rank {} at most, got {}", kMaxRank, rank);
  }
  std::vector<int64_t> axes = op.axes("axes", rank);
  std::sort(axes.begin(), axes.end());
  Shape result = x.shape();
  for (const int64_t axis : axes) result.insert(result.begin() + axis, 1);
  return Type::tensor(x.dtype(), result);
}

}  // namespace

OpDef expand_dims() {
  return OpDef("expand_dims")
      .types("T", moved_dtypes())
      .input("x", "T")
      .input("axes", DType::kI32, kConst)
      .since(Opset::kIos17, [](OpDef& def) { def.types("T", moved_dtypes_ios17()); })
      .traits(kMovesElements)
      .infer(infer)
      .eval([](Eval& e) { e.set_out(0, e.in("x").reshaped(e.result_type().shape())); })
      .vjp(reshape_back);
}

}  // namespace mw::ops
