// concat: y = `values` one after the other along `axis`; with `interleave`, their slices in turn:
// y[k * n + j] = values[j][k] along the axis, for n values of one shape. Scalars count as vectors
// of 1.
#include <algorithm>

#include "ops/shape/move.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

Shape shape_of(const OpView& op, size_t index) {
  Shape shape = op.shape("values", index);
  return shape.empty() ? Shape{1} : shape;
}

// Enters what `other` knows into `result`; extents along `skip` are left alone.
void join(const OpView& op, Shape& result, const Shape& other, size_t skip) {
  if (result.size() != other.size()) {
    op.reject("values", "expected tensors of one rank, got {} and {}", to_string(result),
              to_string(other));
  }
  for (size_t i = 0; i < result.size(); ++i) {
    if (i == skip || other[i] == kAny) continue;
    if (result[i] != kAny && result[i] != other[i]) {
      op.reject("values", "expected equal extents but along axis {}, got {} and {}", skip,
                to_string(result), to_string(other));
    }
    result[i] = other[i];
  }
}

Type infer(const OpView& op) {
  const size_t count = op.operand_count("values");
  if (count == 0) op.reject("values", "expected at least one tensor, got none");
  const Type first = expect_movable(op, "values");
  Shape result = shape_of(op, 0);
  const auto axis = static_cast<size_t>(op.axis("axis", static_cast<int64_t>(result.size())));
  const bool interleave = op.flag("interleave");
  int64_t total = result[axis];
  for (size_t i = 1; i < count; ++i) {
    const Type type = expect_movable(op, "values", i);
    if (type.dtype() != first.dtype()) {
      op.reject("values", "expected tensors of one dtype, got {} and {}",
                mw::name_of(first.dtype()), mw::name_of(type.dtype()));
    }
    const Shape other = shape_of(op, i);
    join(op, result, other, axis);
    if (interleave && other[axis] != result[axis] && other[axis] != kAny && result[axis] != kAny) {
      op.reject("values", "expected tensors of one shape to interleave, got {} and {}",
                to_string(result), to_string(other));
    }
    total = dim_add(total, other[axis]);
  }
  result[axis] = total;
  return Type::tensor(first.dtype(), result);
}

void evaluate(Eval& e) {
  Tensor& y = e.out();
  const auto axis = static_cast<size_t>(e.axis("axis", y.rank()));
  const bool interleave = e.flag("interleave");
  const size_t count = e.operand_count("values");
  Layout to{strides_of(y.shape())};
  const int64_t step = to.strides[axis];
  if (interleave) to.strides[axis] = step * static_cast<int64_t>(count);
  for (size_t i = 0; i < count; ++i) {
    const Tensor& value = e.in("values", i);
    const Shape shape = value.rank() == 0 ? Shape{1} : value.shape();
    copy_elements(shape, value, {strides_of(shape)}, y, to);
    to.offset += interleave ? step : step * shape[axis];
  }
}

// Each value gets its part of g: a slice, or every n-th one.
void rule(Vjp& v) {
  const Expr g = grad(v);
  const auto axis = static_cast<size_t>(v.axis("axis", v.out()->type.rank()));
  const bool interleave = v.flag("interleave");
  const size_t count = v.operand_count("values");
  std::vector<int64_t> begin(g.shape().size(), 0), stride(begin.size(), 1);
  const Shape& end = g.shape();
  if (interleave) stride[axis] = static_cast<int64_t>(count);
  for (size_t i = 0; i < count; ++i) {
    const Shape shape = shape_of(v, i);
    if (v.wants("values", i)) {
      const Expr part =
          interleave ? g.op("slice_by_index", {{"begin", begin}, {"end", end}, {"stride", stride}})
                     : slice(g, begin, shape);
      v.add("values", v.shape("values", i).empty() ? reshape(part, {}) : part, i);
    }
    begin[axis] += interleave ? 1 : shape[axis];
  }
}

}  // namespace

OpDef concat() {
  return OpDef("concat")
      .any_input("values", kVariadic)
      .input("axis", DType::kI32, kConst)
      .input("interleave", DType::kBool, kConst | kOptional, false)
      .traits(kMovesElements)
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
