// batch_norm: y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, per channel (axis 1).
#include <cmath>

#include "ops/norm/norm.h"

namespace mw::ops {
namespace {

Type infer(const OpView& op) {
  expect_float(op, "x");
  expect_rank(op, "x", 2, kMaxRank);
  Type x = op.tensor_type("x");
  expect_parameters(op, {"mean", "variance", "gamma", "beta"}, {x.shape()[1]});
  (void)op.number("epsilon");
  return x;
}

void evaluate(Eval& e) {
  const Tensor& x = e.in("x");
  Tensor& y = e.out();
  if (y.count() == 0) return;
  const int64_t channels = x.dim(1);
  const int64_t inner = x.count() / x.dim(0) / channels;
  const std::vector<double> mean = parameter(e, "mean", channels, 0);
  const std::vector<double> variance = parameter(e, "variance", channels, 1);
  const std::vector<double> gamma = parameter(e, "gamma", channels, 1);
  const std::vector<double> beta = parameter(e, "beta", channels, 0);
  const double epsilon = e.number("epsilon");
  dispatch_float(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    for (int64_t row = 0; row < x.dim(0) * channels; ++row) {
      const auto c = static_cast<size_t>(row % channels);
      const double scale = gamma[c] / std::sqrt(variance[c] + epsilon);
      for (int64_t i = row * inner; i < (row + 1) * inner; ++i) {
        to[i] = static_cast<T>((static_cast<double>(from[i]) - mean[c]) * scale + beta[c]);
      }
    }
  });
}

void rule(Vjp& v) {
  const Expr g = grad(v), x = operand(v, "x");
  if (count_of(x.shape()) == 0) return;
  const int64_t rank = v.rank("x");
  const Expr rstd =
      operand_as(v, "variance", x).op("rsqrt", {x.number("epsilon", v.number("epsilon"))});
  const Expr scale = v.has("gamma") ? operand_as(v, "gamma", x) * rstd : rstd;
  if (v.wants("x")) v.add("x", g * along_axis(scale, 1, rank));
  if (v.wants("mean") || v.wants("beta")) {
    const Expr sum = sum_but(g, 1);
    contribute(v, "beta", sum);
    if (v.wants("mean")) contribute(v, "mean", -(sum * scale));
  }
  if (!v.wants("gamma") && !v.wants("variance")) return;
  const Expr centred = x - along_axis(operand_as(v, "mean", x), 1, rank);
  const Expr of_gamma = sum_but(g * centred, 1) * rstd;
  contribute(v, "gamma", of_gamma);
  if (v.wants("variance")) contribute(v, "variance", of_gamma * (scale * rstd) * -0.5);
}

}  // namespace

OpDef batch_norm() {
  return OpDef("batch_norm")
      .types("T", {DType::kF16, DType::kF32})
      .input("x", "T")
      .input("mean", "T", kConst | kNoWeight)
      .input("variance", "T", kConst | kNoWeight)
      .input("gamma", "T", kConst | kOptional | kWeight)
      .input("beta", "T", kConst | kOptional | kWeight)
      .input("epsilon", "T", kConst | kOptional, 1e-5)
      .since(Opset::kIos17,
             [](OpDef& def) {
               def.types("U", {DType::kF16, DType::kF32})
                   .retype({"mean", "variance", "gamma", "beta", "epsilon"}, "U");
             })
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
