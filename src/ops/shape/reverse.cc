// reverse: y = x with the order of elements turned round along `axes` (default: along all).
#include <numeric>

#include "ops/shape/move.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

std::vector<int64_t> reversed_axes(const OpView& op, int64_t rank) {
  if (op.has("axes")) return op.axes("axes", rank);
  std::vector<int64_t> all(static_cast<size_t>(rank));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

Type infer(const OpView& op) {
  Type x = expect_movable(op, "x");
  (void)reversed_axes(op, x.rank());
  return x;
}

void evaluate(Eval& e) {
  const Tensor& x = e.in("x");
  const std::vector<int64_t> strides = strides_of(x.shape());
  Layout from{strides};
  for (const int64_t axis : reversed_axes(e, x.rank())) {
    const auto i = static_cast<size_t>(axis);
    from.offset += (x.shape()[i] - 1) * strides[i];
    from.strides[i] = -strides[i];
  }
  copy_elements(x.shape(), x, from, e.out(), {strides});
}

void rule(Vjp& v) { v.add("x", grad(v).op("reverse", same_inputs(v, {"axes"}))); }

}  // namespace

OpDef reverse() {
  return OpDef("reverse")
      .types("T", moved_dtypes())
      .input("x", "T")
      .input("axes", DType::kI32, kConst | kOptional)
      .since(Opset::kIos17, [](OpDef& def) { def.types("T", moved_dtypes_ios17()); })
      .traits(kMovesElements)
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
