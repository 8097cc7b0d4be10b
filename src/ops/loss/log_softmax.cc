// mw.log_softmax: x - max(x) - log(sum(exp(x - max(x)))) over `axis`. The logarithm of a
// probability too small for a float, and a gradient that is finite at any distance.
#include <cmath>

#include "ops/along_axis.h"
#include "ops/expr.h"
#include "ops/loss/loss.h"

namespace mw::ops {
namespace {

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
      .infer(infer_along_axis)
      .eval([](Eval& e) {
        evaluate_along_axis(e, [](const auto* x, auto* y, int64_t count, int64_t stride) {
          log_softmax_row(x, y, count, stride);
        });
      })
      .expand(expand)
      .vjp(rule);
}

Value* log_softmax_of(Builder& b, Value* x, int64_t axis) {
  return b.op("mw.log_softmax", {{"x", x}, {"axis", axis}});
}

}  // namespace mw::ops
