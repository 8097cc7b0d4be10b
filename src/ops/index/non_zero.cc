// non_zero: the multi-indices of the elements of x that are not 0, one per row, in order.
#include "ops/index/indices.h"

namespace mw::ops {
namespace {

Type infer(const OpView& op) {
  const Type x = expect_movable(op, "x");
  return Type::tensor(DType::kI32, {kAny, x.rank()});
}

void evaluate(Eval& e) {
  const Tensor& x = e.in("x");
  std::vector<int64_t> found;
  dispatch(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* values = x.data<T>();
    for (int64_t i = 0; i < x.count(); ++i) {
      if (values[i] != zero) found.push_back(i);
    }
  });
  const auto rank = static_cast<size_t>(x.rank());
  Tensor y(DType::kI32, {static_cast<int64_t>(found.size()), x.rank()});
  auto* to = y.mutable_data<int32_t>();
  for (size_t row = 0; row < found.size(); ++row) {
    int64_t flat = found[row];
    for (size_t axis = rank; axis-- > 0;) {
      to[row * rank + axis] = static_cast<int32_t>(flat % x.shape()[axis]);
      flat /= x.shape()[axis];
    }
  }
  e.set_out(0, std::move(y));
}

}  // namespace

OpDef non_zero() {
  return OpDef("non_zero")
      .types("T", moved_dtypes())
      .input("x", "T")
      .infer(infer)
      .eval(evaluate)
      .no_vjp(NoGradient::kIntegerOutput);
}

}  // namespace mw::ops
