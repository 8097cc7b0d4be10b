// Activations on floats with at most two scalar parameters, a row of the table each; gelu has a
// mode.
#include <cmath>

#include "ops/elementwise/elementwise.h"
#include "ops/expr.h"

namespace mw::ops {
namespace {

const std::vector<DType> kFloats = {DType::kF16, DType::kF32};
constexpr double kSqrtHalf = 0.70710678118654752440;
constexpr double kSqrtTwoOverPi = 0.79788456080286535588;

template <class F>
OpDef plain(const char* name, F f) {
  return OpDef(name)
      .types("T", kFloats)
      .input("x", "T")
      .traits(kElementwise)
      .infer(float_like_x)
      .eval([f](Eval& e) { map_floats(e, f); });
}

Type infer_with_alpha(const OpView& op) {
  expect_scalar(op, "alpha");
  return float_like_x(op);
}

Type infer_with_both(const OpView& op) {
  expect_scalar(op, "beta");
  return infer_with_alpha(op);
}

// From ios17 on the parameters may have another dtype than x.
template <class F>
OpDef with_alpha(const char* name, F f) {
  return OpDef(name)
      .types("T", kFloats)
      .input("x", "T")
      .input("alpha", "T", kConst)
      .since(Opset::kIos17, [](OpDef& def) { def.types("U", kFloats).retype({"alpha"}, "U"); })
      .traits(kElementwise)
      .infer(infer_with_alpha)
      .eval([f](Eval& e) {
        const double alpha = scalar_of(e, "alpha");
        map_floats(e, [&]<class T>(T x) { return f(x, static_cast<T>(alpha)); });
      });
}

template <class F>
OpDef with_both(const char* name, F f) {
  return OpDef(name)
      .types("T", kFloats)
      .input("x", "T")
      .input("alpha", "T", kConst)
      .input("beta", "T", kConst)
      .since(Opset::kIos17,
             [](OpDef& def) {
               def.types("U", kFloats).retype({"alpha", "beta"}, "U");
             })
      .traits(kElementwise)
      .infer(infer_with_both)
      .eval([f](Eval& e) {
        const double alpha = scalar_of(e, "alpha"), beta = scalar_of(e, "beta");
        map_floats(e,
                   [&]<class T>(T x) { return f(x, static_cast<T>(alpha), static_cast<T>(beta)); });
      });
}

// 1 / (1 + e^-x) without overflow on either side.
template <class T>
T sigmoid_of(T x) {
  const T e = std::exp(-std::fabs(x));
  return (x < 0 ? e : T{1}) / (1 + e);
}

// log(1 + e^x), likewise.
template <class T>
T softplus_of(T x) {
  return (x > 0 ? x : x < 0 ? T{0} : x) + std::log1p(std::exp(-std::fabs(x)));
}

// max(x, low) and min(x, high); NaN stays.
template <class T>
T at_least(T x, T low) {
  return x < low ? low : x;
}
template <class T>
T at_most(T x, T high) {
  return x > high ? high : x;
}

Type infer_gelu(const OpView& op) {
  const std::string mode = op.text("mode");
  if (mode != "EXACT" && mode != "TANH_APPROXIMATION" && mode != "SIGMOID_APPROXIMATION") {
    op.reject("mode", "expected EXACT, TANH_APPROXIMATION or SIGMOID_APPROXIMATION, got '{}'",
              mode);
  }
  return float_like_x(op);
}

// EXACT: x/2 (1 + erf(x / sqrt 2)).  SIGMOID_APPROXIMATION: x sigmoid(1.702 x).
// TANH_APPROXIMATION: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
void evaluate_gelu(Eval& e) {
  const std::string mode = e.text("mode");
  if (mode == "SIGMOID_APPROXIMATION") {
    map_floats(e, []<class T>(T x) { return x * sigmoid_of(static_cast<T>(1.702) * x); });
  } else if (mode == "TANH_APPROXIMATION") {
    map_floats(e, []<class T>(T x) {
      const T cubic = x + static_cast<T>(0.044715) * x * x * x;
      return x / 2 * (1 + std::tanh(static_cast<T>(kSqrtTwoOverPi) * cubic));
    });
  } else {
    map_floats(e, []<class T>(T x) { return x / 2 * std::erfc(-x * static_cast<T>(kSqrtHalf)); });
  }
}

// 1 between low and high, 0 elsewhere.
Expr inside(const Expr& x, double low, double high) {
  return as_number(x > low, x) * as_number(x < high, x);
}

// g where x is not negative, alpha g elsewhere.
Expr leaky(const Vjp& v, const Expr& g) {
  return select(operand(v, "x") < 0.0, g * v.number("alpha"), g);
}

// Of x sigmoid(k x).
Expr slope_of_silu(const Expr& x, double k) {
  const Expr s = sigmoid(k == 1 ? x : x * k);
  return s * (1.0 + x * k * (1.0 - s));
}

Expr slope_of_gelu(const Vjp& v, const Expr& x, const Expr& /*y*/) {
  const std::string mode = v.text("mode");
  if (mode == "SIGMOID_APPROXIMATION") return slope_of_silu(x, 1.702);
  if (mode == "EXACT") {
    const Expr normal = exp(x * x * -0.5) * (0.5 * kSqrtTwoOverPi);
    return 0.5 * (1.0 + (x * kSqrtHalf).op("erf")) + x * normal;
  }
  const Expr xx = x * x;
  const Expr t = tanh(x * (1.0 + xx * 0.044715) * kSqrtTwoOverPi);
  const Expr inner = (1.0 + xx * (3 * 0.044715)) * kSqrtTwoOverPi;
  return 0.5 * (1.0 + t) + x * 0.5 * (1.0 - t * t) * inner;
}

Type infer_clip(const OpView& op) {
  Type result = infer_with_both(op);
  const Tensor *alpha = op.known("alpha"), *beta = op.known("beta");
  const bool ordered = op.opset() >= Opset::kIos17;
  if (ordered && alpha != nullptr && beta != nullptr &&
      !(alpha->number_at(0) < beta->number_at(0))) {
    op.reject("alpha", "expected less than beta, which is {}, got {}", beta->number_at(0),
              alpha->number_at(0));
  }
  return result;
}

Type infer_threshold(const OpView& op) {
  expect_scalar(op, "alpha");
  return number_like_x(op);
}

}  // namespace

// A formula of the value and one of the slope. At a kink the slope is that of the flat side.
#define MW_PLAIN(name, formula, derivative)                                                     \
  OpDef name##_op() {                                                                           \
    return plain(#name, [](auto x) { return formula; })                                         \
        .vjp(slope([]([[maybe_unused]] const Expr& x, [[maybe_unused]] const Expr& y) -> Expr { \
          return derivative;                                                                    \
        }));                                                                                    \
  }
MW_PLAIN(relu, at_least(x, decltype(x){0}), as_number(x > 0.0, x))
MW_PLAIN(relu6, at_most(at_least(x, decltype(x){0}), decltype(x){6}), inside(x, 0, 6))
MW_PLAIN(sigmoid, sigmoid_of(x), y*(1.0 - y))
MW_PLAIN(silu, x* sigmoid_of(x), slope_of_silu(x, 1))
MW_PLAIN(softplus, softplus_of(x), sigmoid(x))
MW_PLAIN(softsign, x / (1 + std::fabs(x)), 1.0 / square(1.0 + x.op("abs")))
#undef MW_PLAIN

#define MW_ALPHA(name, formula, derivative)                                                     \
  OpDef name##_op() {                                                                           \
    return with_alpha(#name, [](auto x, auto alpha) { return formula; })                        \
        .vjp(slope_of([](const Vjp& v, const Expr& x, [[maybe_unused]] const Expr& y) -> Expr { \
          const double alpha = v.number("alpha");                                               \
          return derivative;                                                                    \
        }));                                                                                    \
  }
MW_ALPHA(elu, x < 0 ? alpha * std::expm1(x) : x, select(x < 0.0, y + alpha, 1.0))
MW_ALPHA(thresholded_relu, x < alpha ? decltype(x){0} : x, as_number(x >= alpha, x))
#undef MW_ALPHA

#define MW_BOTH(name, formula, derivative)                                              \
  OpDef name##_op() {                                                                   \
    return with_both(#name, [](auto x, auto alpha, auto beta) { return formula; })      \
        .vjp(slope_of([]([[maybe_unused]] const Vjp& v, [[maybe_unused]] const Expr& x, \
                         [[maybe_unused]] const Expr& y) -> Expr {                      \
          const double alpha = v.number("alpha");                                       \
          [[maybe_unused]] const double beta = v.number("beta");                        \
          return derivative;                                                            \
        }));                                                                            \
  }
MW_BOTH(scaled_tanh, alpha* std::tanh(beta* x), (alpha - y * y / alpha) * beta)
MW_BOTH(sigmoid_hard, at_most(at_least(alpha* x + beta, decltype(x){0}), decltype(x){1}),
        inside(y, 0, 1) * alpha)
#undef MW_BOTH

OpDef leaky_relu_op() {
  return with_alpha("leaky_relu", [](auto x, auto alpha) { return x < 0 ? alpha * x : x; })
      .vjp([](Vjp& v) { v.add("x", leaky(v, grad(v))); });
}
OpDef clamped_relu_op() {
  const auto value = [](auto x, auto alpha, auto beta) {
    return at_most(x < 0 ? alpha * x : x, beta);
  };
  return with_both("clamped_relu", value).vjp([](Vjp& v) {
    v.add("x", select(result(v) < v.number("beta"), leaky(v, grad(v)), 0.0));
  });
}
OpDef linear_activation_op() {
  return with_both("linear_activation",
                   [](auto x, auto alpha, auto beta) { return alpha * x + beta; })
      .vjp([](Vjp& v) { v.add("x", grad(v) * v.number("alpha")); });
}

OpDef gelu_op() {
  return OpDef("gelu")
      .types("T", kFloats)
      .input("x", "T")
      .input("mode", DType::kString, kConst | kOptional, "EXACT")
      .traits(kElementwise)
      .infer(infer_gelu)
      .eval(evaluate_gelu)
      .vjp(slope_of(slope_of_gelu));
}

// min(max(x, alpha), beta)
OpDef clip_op() {
  return OpDef("clip")
      .types("T", kFloats)
      .input("x", "T")
      .input("alpha", "T", kConst)
      .input("beta", "T", kConst)
      .traits(kElementwise)
      .infer(infer_clip)
      .eval([](Eval& e) {
        const double alpha = scalar_of(e, "alpha"), beta = scalar_of(e, "beta");
        map_floats(e, [&]<class T>(T x) {
          return at_most(at_least(x, static_cast<T>(alpha)), static_cast<T>(beta));
        });
      })
      .vjp(slope_of([](const Vjp& v, const Expr& x, const Expr& /*y*/) {
        return as_number(x >= v.number("alpha"), x) * as_number(x <= v.number("beta"), x);
      }));
}

// max(x, alpha)
OpDef threshold_op() {
  return OpDef("threshold")
      .types("T", {DType::kF16, DType::kF32, DType::kI32})
      .input("x", "T")
      .input("alpha", "T", kConst)
      .traits(kElementwise)
      .infer(infer_threshold)
      .eval([](Eval& e) {
        const double alpha = scalar_of(e, "alpha");
        map_numbers(e, [low = Tensor::scalar(alpha).to(computable(e.in("x")).dtype())]<class T>(
                           T x) { return at_least(x, low.data<T>()[0]); });
      })
      .vjp(slope_of([](const Vjp& v, const Expr& x, const Expr& /*y*/) {
        return as_number(x >= v.number("alpha"), x);
      }));
}

}  // namespace mw::ops
