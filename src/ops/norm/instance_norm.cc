// instance_norm: y = gamma * n + beta, where n is x with mean 0 and variance 1 over the spatial
// axes of each channel of each instance.
#include <cmath>

#include "ops/norm/norm.h"

namespace mw::ops {
namespace {

Type infer(const OpView& op) {
  expect_float(op, "x");
  expect_rank(op, "x", 3, kMaxRank);
  Type x = op.tensor_type("x");
  expect_parameters(op, {"gamma", "beta"}, {x.shape()[1]});
  (void)op.number("epsilon");
  return x;
}

template <class T>
void normalise(const T* x, T* y, int64_t count, double gamma, double beta, double epsilon) {
  double mean = 0, variance = 0;
  for (int64_t i = 0; i < count; ++i) mean += static_cast<double>(x[i]);
  mean /= static_cast<double>(count);
  for (int64_t i = 0; i < count; ++i) {
    const double centred = static_cast<double>(x[i]) - mean;
    variance += centred * centred;
  }
  variance /= static_cast<double>(count);
  const double scale = gamma / std::sqrt(variance + epsilon);
  for (int64_t i = 0; i < count; ++i) {
    y[i] = static_cast<T>((static_cast<double>(x[i]) - mean) * scale + beta);
  }
}

void evaluate(Eval& e) {
  const Tensor& x = e.in("x");
  Tensor& y = e.out();
  if (y.count() == 0) return;
  const int64_t channels = x.dim(1), rows = x.dim(0) * channels, inner = x.count() / rows;
  const std::vector<double> gamma = parameter(e, "gamma", channels, 1);
  const std::vector<double> beta = parameter(e, "beta", channels, 0);
  const double epsilon = e.number("epsilon");
  dispatch_float(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for (int64_t row = 0; row < rows; ++row) {
      const auto c = static_cast<size_t>(row % channels);
      normalise(x.data<T>() + row * inner, y.mutable_data<T>() + row * inner, inner, gamma[c],
                beta[c], epsilon);
    }
  });
}

void rule(Vjp& v) {
  const Shape x = v.shape("x");
  std::vector<int64_t> axes;
  for (size_t i = 2; i < x.size(); ++i) axes.push_back(static_cast<int64_t>(i));
  Shape affine(x.size(), 1);
  affine[1] = x[1];
  standardised_rule(v, axes, affine);
}

}  // namespace

OpDef instance_norm() {
  return OpDef("instance_norm")
      .types("T", {DType::kF16, DType::kF32})
      .input("x", "T")
      .input("gamma", "T", kConst | kOptional | kWeight)
      .input("beta", "T", kConst | kOptional | kWeight)
      .input("epsilon", "T", kConst | kOptional, 1e-5)
      .since(Opset::kIos17,
             [](OpDef& def) {
               def.types("U", {DType::kF16, DType::kF32}).retype({"gamma", "beta", "epsilon"}, "U");
             })
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
