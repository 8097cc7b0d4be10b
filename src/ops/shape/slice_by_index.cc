// slice_by_index: y = x[begin : end : stride] on every axis, as NumPy slices; an axis of
// squeeze_mask is indexed at `begin` and dropped.
#include "ops/shape/slices.h"

namespace mw::ops {
namespace {

Type infer(const OpView& op) {
  const Type x = expect_movable(op, "x");
  return Type::tensor(x.dtype(), sliced_shape(slices_of(op, x.shape())));
}

void evaluate(Eval& e) {
  const Tensor& x = e.in("x");
  Tensor& y = e.out();
  copy_elements(y.shape(), x, sliced_layout(slices_of(e, x.shape()), x.shape()), y,
                {strides_of(y.shape())});
}

void rule(Vjp& v) {
  if (v.out()->type.is_static() && count_of(v.out()->type.shape()) == 0) return;
  const Shape x = v.shape("x");
  v.add("x", unsliced(v, slices_of(v, x), x, grad(v)));
}

}  // namespace

OpDef slice_by_index() {
  OpDef def("slice_by_index");
  def.types("T", moved_dtypes()).input("x", "T");
  declare_slice_inputs(def, {DType::kI32});
  return def
      .since(Opset::kIos17,
             [](OpDef& later) {
               later.types("T", moved_dtypes_ios17()).types("U", index_dtypes_ios17());
             })
      .traits(kSlices)
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
