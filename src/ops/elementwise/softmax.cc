// softmax: y = e / sum(e) over `axis`, where e = exp(x - max(x)).
#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/expr.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

Type infer(const OpView& op) {
  expect_float(op, "x");
  if (op.rank("x") == 0) op.reject("x", "expected rank 1 or more, got a scalar");
  (void)op.axis("axis", op.rank("x"));
  return same_as_x(op);
}

template <class T>
void softmax_row(const T* x, T* y, int64_t count, int64_t stride) {
  T largest = -std::numeric_limits<T>::infinity();
  for (int64_t i = 0; i < count; ++i) largest = std::max(largest, x[i * stride]);
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    const T e = std::exp(x[i * stride] - largest);
    y[i * stride] = e;
    sum += e;
  }
  for (int64_t i = 0; i < count; ++i) y[i * stride] = static_cast<T>(y[i * stride] / sum);
}

void evaluate(Eval& e) {
  const Tensor& x = e.in("x");
  const auto axis = static_cast<size_t>(e.axis("axis", x.rank()));
  const int64_t count = x.shape()[axis];
  const int64_t outer = product(x.shape(), 0, axis);
  const int64_t inner = product(x.shape(), axis + 1, x.shape().size());
  Tensor& y = e.out();
  dispatch_float(x.dtype(), [&]<class T>(T) {
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    for (int64_t o = 0; o < outer; ++o) {
      for (int64_t i = 0; i < inner; ++i) {
        const int64_t first = o * count * inner + i;
        softmax_row(from + first, to + first, count, inner);
      }
    }
  });
}

// y (g - sum(g y))
void rule(Vjp& v) {
  const Expr g = grad(v), y = result(v);
  const int64_t axis = v.axis("axis", v.rank("x"));
  v.add("x", y * (g - reduce_sum(g * y, {axis}, true)));
}

}  // namespace

OpDef softmax() {
  return OpDef("softmax")
      .types("T", {DType::kF16, DType::kF32})
      .input("x", "T")
      .input("axis", DType::kI32, kConst | kOptional, -1)
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
