// slice_by_size: y = x[begin : begin + size] on every axis; a size of -1 reaches to the end.
#include "ops/shape/move.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

int64_t first_of(const OpView& op, int64_t extent, int64_t begin, size_t axis) {
  const int64_t first = begin < 0 ? begin + extent : begin;
  if (first < 0 || first > extent) {
    op.reject("begin", "expected a value in [{}, {}] on axis {}, got {}", -extent, extent, axis,
              begin);
  }
  return first;
}

int64_t count_of_axis(const OpView& op, int64_t extent, int64_t first, int64_t size, size_t axis) {
  if (size == -1) return extent - first;
  if (size > extent - first) {
    op.reject("size", "expected at most {} elements on axis {}, got {}", extent - first, axis,
              size);
  }
  return size;
}

Type infer(const OpView& op) {
  const Type x = expect_movable(op, "x");
  expect_index_vector(op, "begin", x.rank());
  expect_index_vector(op, "size", x.rank());
  const auto begins = op.known_ints("begin"), sizes = op.known_ints("size");
  Shape result(x.shape().size(), kAny);
  for (size_t i = 0; i < result.size(); ++i) {
    if (!sizes) continue;
    if ((*sizes)[i] < -1) op.reject("size", "expected sizes of at least -1, got {}", (*sizes)[i]);
    if (!begins || x.shape()[i] == kAny) {
      result[i] = (*sizes)[i];  // -1 is kAny
      continue;
    }
    const int64_t first = first_of(op, x.shape()[i], (*begins)[i], i);
    result[i] = count_of_axis(op, x.shape()[i], first, (*sizes)[i], i);
  }
  return Type::tensor(x.dtype(), result);
}

void evaluate(Eval& e) {
  const Tensor& x = e.in("x");
  const std::vector<int64_t> begins = e.ints("begin");
  Layout from{strides_of(x.shape())};
  Tensor& y = e.out();
  for (size_t i = 0; i < begins.size(); ++i) {
    from.offset += first_of(e, x.shape()[i], begins[i], i) * from.strides[i];
  }
  copy_elements(y.shape(), x, from, y, {strides_of(y.shape())});
}

void rule(Vjp& v) {
  const Shape x = v.shape("x");
  Expr g = grad(v);
  if (const auto begins = v.known_ints("begin")) {
    std::vector<int64_t> first;
    for (size_t i = 0; i < x.size(); ++i) first.push_back(first_of(v, x[i], (*begins)[i], i));
    v.add("x", placed(g, first, x));
    return;
  }
  const Expr begin = operand(v, "begin");
  for (size_t i = 0; i < x.size(); ++i) {
    const auto axis = static_cast<int64_t>(i);
    if (g.shape()[i] != x[i]) g = placed_at(g, element(begin, axis), axis, x[i]);
  }
  v.add("x", g);
}

}  // namespace

OpDef slice_by_size() {
  return OpDef("slice_by_size")
      .types("T", moved_dtypes())
      .types("U", {DType::kI32})
      .input("x", "T")
      .input("begin", "U")
      .input("size", "U")
      .since(
          Opset::kIos17,
          [](OpDef& def) { def.types("T", moved_dtypes_ios17()).types("U", index_dtypes_ios17()); })
      .traits(kSlices)
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
