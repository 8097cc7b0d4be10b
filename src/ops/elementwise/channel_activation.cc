// Activations with parameters per channel, the second axis of x: prelu and softplus_parametric.
#include <cmath>

#include "ops/expr.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

const std::vector<DType> kFloats = {DType::kF16, DType::kF32};

void expect_per_channel(const OpView& op, const char* input) {
  expect_float(op, input);
  expect_shape(op, input, {op.shape("x")[1]});
}

Type infer_prelu(const OpView& op) {
  expect_float(op, "x");
  expect_rank(op, "x", 3, 5);
  expect_per_channel(op, "alpha");
  return same_as_x(op);
}

Type infer_softplus(const OpView& op) {
  expect_float(op, "x");
  expect_rank(op, "x", 3, static_cast<int64_t>(kMaxRank));
  expect_per_channel(op, "alpha");
  expect_per_channel(op, "beta");
  return same_as_x(op);
}

// y = f(x, channel), x as [batch, channels, rest].
template <class F>
void map_channels(Eval& e, const F& f) {
  const Tensor& x = e.in("x");
  const int64_t batch = x.dim(0), channels = x.dim(1);
  const int64_t rest = product(x.shape(), 2, x.shape().size());
  Tensor& y = e.out();
  dispatch_float(x.dtype(), [&]<class T>(T) {
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    for (int64_t plane = 0; plane < batch * channels; ++plane) {
      for (int64_t i = plane * rest; i < (plane + 1) * rest; ++i) {
        to[i] = f(from[i], plane % channels);
      }
    }
  });
}

// x where x > 0, else alpha x
void evaluate_prelu(Eval& e) {
  const Tensor alpha = e.in("alpha").to(DType::kF64);
  map_channels(e, [a = alpha.data<double>()]<class T>(T x, int64_t channel) {
    return x > 0 ? x : static_cast<T>(a[channel]) * x;
  });
}

// alpha log(1 + e^(beta x))
void evaluate_softplus(Eval& e) {
  const Tensor alpha = e.in("alpha").to(DType::kF64), beta = e.in("beta").to(DType::kF64);
  const double *a = alpha.data<double>(), *b = beta.data<double>();
  map_channels(e, [&]<class T>(T x, int64_t channel) {
    const T z = static_cast<T>(b[channel]) * x;
    const T positive = z > 0 ? z : z < 0 ? T{0} : z;
    return static_cast<T>(a[channel]) * (positive + std::log1p(std::exp(-std::fabs(z))));
  });
}

Expr per_channel(const Vjp& v, std::string_view input, const Expr& x) {
  return along_axis(operand_as(v, input, x), 1, v.rank("x"));
}

void prelu_rule(Vjp& v) {
  const Expr g = grad(v), x = operand(v, "x");
  const Expr positive = x > 0.0;
  if (v.wants("x")) v.add("x", select(positive, g, g * per_channel(v, "alpha", x)));
  if (v.wants("alpha")) {
    contribute(v, "alpha", sum_but(g * select(positive, 0.0, x), 1));
  }
}

void softplus_rule(Vjp& v) {
  const Expr g = grad(v), x = operand(v, "x");
  const Expr beta = per_channel(v, "beta", x), z = beta * x;
  if (v.wants("alpha")) contribute(v, "alpha", sum_but(g * z.op("softplus"), 1));
  if (!v.wants("x") && !v.wants("beta")) return;
  const Expr of_z = g * per_channel(v, "alpha", x) * sigmoid(z);
  if (v.wants("x")) v.add("x", of_z * beta);
  if (v.wants("beta")) contribute(v, "beta", sum_but(of_z * x, 1));
}

}  // namespace

OpDef prelu() {
  return OpDef("prelu")
      .types("T", kFloats)
      .input("x", "T")
      .input("alpha", "T", kConst | kWeight)
      .since(Opset::kIos17, [](OpDef& def) { def.types("U", kFloats).retype({"alpha"}, "U"); })
      .infer(infer_prelu)
      .eval(evaluate_prelu)
      .vjp(prelu_rule);
}

OpDef softplus_parametric() {
  return OpDef("softplus_parametric")
      .types("T", kFloats)
      .input("x", "T")
      .input("alpha", "T", kConst | kWeight)
      .input("beta", "T", kConst | kWeight)
      .since(Opset::kIos17,
             [](OpDef& def) {
               def.types("U", kFloats).retype({"alpha", "beta"}, "U");
             })
      .infer(infer_softplus)
      .eval(evaluate_softplus)
      .vjp(softplus_rule);
}

}  // namespace mw::ops
