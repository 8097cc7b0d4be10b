// transpose: y[i] = x[j] where j[perm[k]] = i[k]: axis k of y is axis perm[k] of x.
#include "ops/shape/move.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

std::vector<int64_t> permutation(const OpView& op, int64_t rank) {
  std::vector<int64_t> perm = op.axes("perm", rank);
  if (static_cast<int64_t>(perm.size()) != rank) {
    op.reject("perm", "expected {} axes as x has, got {}", rank, perm.size());
  }
  return perm;
}

Type infer(const OpView& op) {
  const Type x = expect_movable(op, "x");
  Shape result;
  for (const int64_t axis : permutation(op, x.rank())) {
    result.push_back(x.shape()[static_cast<size_t>(axis)]);
  }
  return Type::tensor(x.dtype(), result);
}

void evaluate(Eval& e) {
  const Tensor& x = e.in("x");
  const std::vector<int64_t> strides = strides_of(x.shape());
  Layout from;
  for (const int64_t axis : permutation(e, x.rank())) {
    from.strides.push_back(strides[static_cast<size_t>(axis)]);
  }
  Tensor& y = e.out();
  copy_elements(y.shape(), x, from, y, {strides_of(y.shape())});
}

void rule(Vjp& v) {
  const std::vector<int64_t> perm = permutation(v, v.rank("x"));
  std::vector<int64_t> inverse(perm.size());
  for (size_t i = 0; i < perm.size(); ++i) {
    inverse[static_cast<size_t>(perm[i])] = static_cast<int64_t>(i);
  }
  v.add("x", transpose(grad(v), inverse));
}

}  // namespace

OpDef transpose() {
  return OpDef("transpose")
      .types("T", moved_dtypes())
      .input("x", "T")
      .input("perm", DType::kI32, kConst)
      .since(Opset::kIos17, [](OpDef& def) { def.types("T", moved_dtypes_ios17()); })
      .traits(kMovesElements)
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
