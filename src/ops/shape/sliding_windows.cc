// sliding_windows: y[.., w, k, ..] = x[.., w * stride + k, ..]: all windows of `size` elements
// along `axis`; the position within the window is an axis added behind it.
#include <limits>

#include "ops/shape/move.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

constexpr int64_t kMaxStep = std::numeric_limits<int32_t>::max();

Type infer(const OpView& op) {
  const Type x = expect_movable(op, "x");
  const int64_t axis = op.axis("axis", x.rank());
  const int64_t size = integer_in(op, "size", 1, kMaxStep);
  const int64_t stride = integer_in(op, "stride", 1, kMaxStep);
  if (x.rank() == static_cast<int64_t>(kMaxRank)) {
    op.reject("x", "expected rank {} at most, got {}", kMaxRank - 1, x.rank());
  }
  Shape result = x.shape();
  int64_t& extent = result[static_cast<size_t>(axis)];
  if (extent != kAny) {
    if (size > extent) op.reject("size", "expected at most the extent {}, got {}", extent, size);
    extent = (extent - size) / stride + 1;
  }
  result.insert(result.begin() + axis + 1, size);
  return Type::tensor(x.dtype(), result);
}

void evaluate(Eval& e) {
  const Tensor& x = e.in("x");
  const int64_t axis = e.axis("axis", x.rank());
  Layout from{strides_of(x.shape())};
  const auto at = from.strides.begin() + axis;
  const int64_t element = *at;
  *at *= e.integer("stride");
  from.strides.insert(at + 1, element);
  Tensor& y = e.out();
  copy_elements(y.shape(), x, from, y, {strides_of(y.shape())});
}

void rule(Vjp& v) {
  const int64_t axis = v.axis("axis", v.rank("x"));
  const int64_t size = v.integer("size"), stride = v.integer("stride");
  Shape flat = grad(v).shape();
  const int64_t windows = flat[static_cast<size_t>(axis)];
  flat.erase(flat.begin() + axis);
  flat[static_cast<size_t>(axis)] = windows * size;
  std::vector<int64_t> from;
  for (int64_t i = 0; i < windows * size; ++i) from.push_back(i / size * stride + i % size);
  const Expr indices = integers(v.builder(), from, {windows * size});
  v.add("x", scattered(reshape(grad(v), flat), indices, axis, v.shape("x")));
}

}  // namespace

OpDef sliding_windows() {
  return OpDef("sliding_windows")
      .types("T", {DType::kF16, DType::kF32, DType::kI32})
      .input("x", "T")
      .input("axis", DType::kI32, kConst)
      .input("size", DType::kI32, kConst)
      .input("stride", DType::kI32, kConst | kOptional, 1)
      .since(Opset::kIos17, [](OpDef& def) { def.types("T", moved_dtypes_ios17()); })
      .traits(kSlices)
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
