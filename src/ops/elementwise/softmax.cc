// softmax: y = e / sum(e) over `axis`, where e = exp(x - max(x)).
#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/along_axis.h"
#include "ops/expr.h"

namespace mw::ops {
namespace {

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
      .traits(kUnrounded)
      .infer(infer_along_axis)
      .eval([](Eval& e) {
        evaluate_along_axis(e, [](const auto* x, auto* y, int64_t count, int64_t stride) {
          softmax_row(x, y, count, stride);
        });
      })
      .vjp(rule);
}

}  // namespace mw::ops
