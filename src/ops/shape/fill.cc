// fill: a tensor of extents `shape` that holds `value` everywhere; fill_like takes the extents of a
// tensor.
#include <algorithm>

#include "ops/shape/move.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

DType value_dtype(const OpView& op) {
  if (!op.has("value")) return DType::kF32;
  const Type value = expect_movable(op, "value");
  if (product(value.shape(), 0, value.shape().size()) != 1) {
    op.reject("value", "expected one value, got shape {}", to_string(value.shape()));
  }
  return value.dtype();
}

Type infer_fill(const OpView& op) {
  expect_index_vector(op, "shape", kAny);
  const DType dtype = value_dtype(op);
  const auto shape = op.known_ints("shape");
  if (!shape) return type_of_extents(op, "shape", dtype);
  if (shape->size() > kMaxRank) {
    op.reject("shape", "expected at most {} extents, got {}", kMaxRank, shape->size());
  }
  for (const int64_t extent : *shape) {
    if (extent < 0) op.reject("shape", "expected extents of at least 0, got {}", extent);
  }
  return Type::tensor(dtype, *shape);
}

Type infer_fill_like(const OpView& op) {
  return Type::tensor(value_dtype(op), op.shape("ref_tensor"));
}

void fill_from(Eval& e, const Shape& shape) {
  const Tensor* value = e.has("value") ? &e.in("value") : nullptr;
  if (!e.result_type().is_static()) {
    e.set_out(0, Tensor(value == nullptr ? DType::kF32 : value->dtype(), shape));
  }
  Tensor& y = e.out();
  if (value == nullptr) return;
  dispatch_bits(y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T bits = bits_of<T>(*value)[0];
    if (bits != T{}) std::fill_n(mutable_bits_of<T>(y), y.count(), bits);
  });
}

void rule(Vjp& v) {
  if (v.wants("value")) v.add("value", sum_for(v, "value", grad(v)));
}

}  // namespace

OpDef fill() {
  return OpDef("fill")
      .types("T", moved_dtypes())
      .input("shape", DType::kI32)
      .input("value", "T", kConst | kOptional | kNoWeight, 0.0)
      .infer(infer_fill)
      .eval([](Eval& e) { fill_from(e, e.result_type().shape()); })
      .vjp(rule);
}

OpDef fill_like() {
  return OpDef("fill_like")
      .first(Opset::kIos16)
      .types("T", moved_dtypes())
      .types("U", moved_dtypes())
      .input("ref_tensor", "T")
      .input("value", "U", kConst | kOptional | kNoWeight, 0.0)
      .infer(infer_fill_like)
      .eval([](Eval& e) {
        const Type& type = e.result_type();
        fill_from(e, type.is_static() ? type.shape() : e.in("ref_tensor").shape());
      })
      .vjp(rule);
}

}  // namespace mw::ops
