// stack: y = `values` side by side along an axis that is added at `axis`.
#include "ops/shape/move.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

int64_t stack_axis(const OpView& op, int64_t rank) { return op.axis("axis", rank + 1); }

Type infer(const OpView& op) {
  const size_t count = op.operand_count("values");
  if (count == 0) op.reject("values", "expected at least one tensor, got none");
  Type common = expect_movable(op, "values");
  for (size_t i = 1; i < count; ++i) {
    const Type type = expect_movable(op, "values", i);
    if (!compatible(type, common)) {
      op.reject("values", "expected tensors of one type, got {} and {}", common.str(), type.str());
    }
    common = refine(common, type);
  }
  if (common.rank() == static_cast<int64_t>(kMaxRank)) {
    op.reject("values", "expected tensors of rank {} at most, got {}", kMaxRank - 1, common.str());
  }
  Shape result = common.shape();
  result.insert(result.begin() + stack_axis(op, common.rank()), static_cast<int64_t>(count));
  return Type::tensor(common.dtype(), result);
}

void evaluate(Eval& e) {
  Tensor& y = e.out();
  const auto axis = static_cast<size_t>(stack_axis(e, y.rank() - 1));
  Layout to{strides_of(y.shape())};
  const int64_t step = to.strides[axis];
  to.strides.erase(to.strides.begin() + static_cast<int64_t>(axis));
  for (size_t i = 0; i < e.operand_count("values"); ++i) {
    const Tensor& value = e.in("values", i);
    copy_elements(value.shape(), value, {strides_of(value.shape())}, y, to);
    to.offset += step;
  }
}

void rule(Vjp& v) {
  const Expr g = grad(v);
  const auto axis = static_cast<size_t>(stack_axis(v, g.value()->type.rank() - 1));
  std::vector<int64_t> begin(g.shape().size(), 0);
  Shape size = g.shape();
  size[axis] = 1;
  for (size_t i = 0; i < v.operand_count("values"); ++i, ++begin[axis]) {
    if (v.wants("values", i)) {
      v.add("values", reshape(slice(g, begin, size), v.shape("values", i)), i);
    }
  }
}

}  // namespace

OpDef stack() {
  return OpDef("stack")
      .any_input("values", kVariadic)
      .input("axis", DType::kI32, kConst)
      .traits(kMovesElements)
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
