// mw.log_softmax: x - max(x) - log(sum(exp(x - max(x)))) over `axis`. The logarithm of a
// probability too small for a float, and a gradient that is finite at any distance.
#include <cmath>

#include "ops/expr.h"
#include "ops/loss/loss.h"
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
void log_softmax_row(const T* x, T* y, int64_t count, int64_t stride) {
  double largest = x[0], sum = 0;
  for (int64_t i = 1; i < count; ++i) largest = std::max<double>(largest, x[i * stride]);
  for (int64_t i = 0; i < count; ++i) sum += std::exp(x[i * stride] - largest);
  const double log = std::log(sum);
  for (int64_t i = 0; i < count; ++i) {
    y[i * stride] = static_cast<T>(x[i * stride] - largest - log);
  }
}

void evaluate(Eval& e) {
  const Tensor& x = e.in("x");
  const auto axis = static_cast<size_t>(e.axis("axis", x.rank()));
  const int64_t count = x.shape()[axis], outer = product(x.shape(), 0, axis);
  const int64_t inner = product(x.shape(), axis + 1, x.shape().size());
  if (count == 0) return;
  Tensor& y = e.out();
  dispatch_float(x.dtype(), [&]<class T>(T) {
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    for (int64_t row = 0; row < outer * inner; ++row) {
      const int64_t first = row / inner * count * inner + row % inner;
      log_softmax_row(from + first, to + first, count, inner);
    }
  });
}

std::vector<Value*> expand(Builder& b, const OpView& op) {
  const Expr x = operand(b, op, "x");
  const std::vector<int64_t> axes{op.axis("axis", op.rank("x"))};
  const Expr shifted = x - x.op("reduce_max", {{"axes", axes}, {"keep_dims", true}});
  return {shifted - log(reduce_sum(exp(shifted), axes, true))};
}

// g - softmax(x) sum(g)
void rule(Vjp& v) {
  const Expr g = grad(v);
  const int64_t axis = v.axis("axis", v.rank("x"));
  v.add("x", g - operand(v, "x").op("softmax", {{"axis", axis}}) * reduce_sum(g, {axis}, true));
}

}  // namespace

OpDef log_softmax() {
  return OpDef("mw.log_softmax")
      .types("T", {DType::kF16, DType::kF32})
      .input("x", "T")
      .input("axis", DType::kI32, kConst | kOptional, -1)
      .infer(infer)
      .eval(evaluate)
      .expand(expand)
      .vjp(rule);
}

Value* log_softmax_of(Builder& b, Value* x, int64_t axis) {
  return b.op("mw.log_softmax", {{"x", x}, {"axis", axis}});
}

}  // namespace mw::ops
