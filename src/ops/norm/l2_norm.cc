// l2_norm: y = x / sqrt(sum(x * x) + epsilon) over the last three axes.
#include <cmath>

#include "ops/expr.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

Type infer(const OpView& op) {
  expect_float(op, "x");
  expect_rank(op, "x", 3, kMaxRank);
  (void)op.number("epsilon");
  return op.tensor_type("x");
}

void evaluate(Eval& e) {
  const Tensor& x = e.in("x");
  Tensor& y = e.out();
  if (y.count() == 0) return;
  const int64_t inner = x.dim(-1) * x.dim(-2) * x.dim(-3);
  const double epsilon = e.number("epsilon");
  dispatch_float(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    for (int64_t start = 0; start < x.count(); start += inner) {
      double sum = 0;
      for (int64_t i = start; i < start + inner; ++i) {
        sum += static_cast<double>(from[i]) * static_cast<double>(from[i]);
      }
      const double norm = std::sqrt(sum + epsilon);
      for (int64_t i = start; i < start + inner; ++i) {
        to[i] = static_cast<T>(static_cast<double>(from[i]) / norm);
      }
    }
  });
}

void rule(Vjp& v) {
  const Expr g = grad(v), x = operand(v, "x"), y = result(v);
  const int64_t rank = v.rank("x");
  const std::vector<int64_t> axes{rank - 3, rank - 2, rank - 1};
  const Expr scale =
      reduce_sum(square(x), axes, true).op("rsqrt", {x.number("epsilon", v.number("epsilon"))});
  v.add("x", scale * (g - y * reduce_sum(g * y, axes, true)));
}

}  // namespace

OpDef l2_norm() {
  return OpDef("l2_norm")
      .types("T", {DType::kF16, DType::kF32})
      .input("x", "T")
      .input("epsilon", "T", kConst | kOptional, 1e-6)
      .since(Opset::kIos17,
             [](OpDef& def) {
               def.types("U", {DType::kF16, DType::kF32}).retype({"epsilon"}, "U");
             })
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
