// Unary ops: y = f(x) element by element, a row of the table each.
#include <cmath>

#include "ops/elementwise/elementwise.h"
#include "ops/expr.h"

namespace mw::ops {
namespace {

const std::vector<DType> kFloats = {DType::kF16, DType::kF32};
constexpr double kTwoOverSqrtPi = 1.12837916709551257390;
constexpr double kLogTwo = 0.69314718055994530942;
const std::vector<DType> kFloatsAndInt = {DType::kF16, DType::kF32, DType::kI32};

template <class F>
OpDef on_floats(const char* name, F f) {
  return OpDef(name)
      .types("T", kFloats)
      .input("x", "T")
      .traits(kElementwise)
      .infer(float_like_x)
      .eval([f](Eval& e) { map_floats(e, f); });
}

template <class F>
OpDef on_numbers(const char* name, F f) {
  return OpDef(name)
      .types("T", kFloatsAndInt)
      .input("x", "T")
      .traits(kElementwise)
      .infer(number_like_x)
      .eval([f](Eval& e) { map_numbers(e, f); });
}

Type infer_with_epsilon(const OpView& op) {
  expect_scalar(op, "epsilon");
  return float_like_x(op);
}

// y = f(x + epsilon); from ios17 on epsilon may have another dtype than x.
template <class F>
OpDef with_epsilon(const char* name, double epsilon, F f) {
  return OpDef(name)
      .types("T", kFloats)
      .input("x", "T")
      .input("epsilon", "T", kConst | kOptional, epsilon)
      .since(Opset::kIos17, [](OpDef& def) { def.types("U", kFloats).retype({"epsilon"}, "U"); })
      .traits(kElementwise)
      .infer(infer_with_epsilon)
      .eval([f](Eval& e) {
        const double epsilon = scalar_of(e, "epsilon");
        map_floats(e, [&]<class T>(T x) { return f(static_cast<T>(x + static_cast<T>(epsilon))); });
      });
}

template <class T>
T magnitude(T x) {
  if constexpr (std::is_integral_v<T>) {
    return x < 0 ? wrapping<T>(0, x, [](auto a, auto b) { return a - b; }) : x;
  } else {
    return std::fabs(x);
  }
}

// NaN has no sign and stays NaN.
template <class T>
T sign_of(T x) {
  return x > 0 ? T{1} : x < 0 ? T{-1} : x == 0 ? T{0} : x;
}

// 2^x; an integer result is truncated and saturates.
template <class T>
T power_of_two(T x) {
  if constexpr (std::is_integral_v<T>) {
    constexpr int kBits = static_cast<int>(sizeof(T) * 8) - 1;
    if (x < 0) return 0;
    return x >= kBits ? std::numeric_limits<T>::max() : static_cast<T>(T{1} << x);
  } else {
    return std::exp2(x);
  }
}

Type infer_bool(const OpView& op) {
  expect_numeric(op, "x");
  return Type::tensor(DType::kBool, op.shape("x"));
}

void evaluate_not(Eval& e) {
  const Tensor x = e.in("x").to(DType::kBool);
  bool* y = e.out().mutable_data<bool>();
  for (int64_t i = 0; i < x.count(); ++i) y[i] = !x.data<bool>()[i];
}

}  // namespace

// A formula of the value and, for MW_UNARY, one of the slope; steps are flat between their jumps.
#define MW_UNARY(name, family, formula, derivative)                                             \
  OpDef name##_op() {                                                                           \
    return family(#name, [](auto x) { return formula; })                                        \
        .vjp(slope([]([[maybe_unused]] const Expr& x, [[maybe_unused]] const Expr& y) -> Expr { \
          return derivative;                                                                    \
        }));                                                                                    \
  }
#define MW_STEPS(name, family, formula)                             \
  OpDef name##_op() {                                               \
    return family(#name, [](auto x) { return formula; }).vjp(flat); \
  }
MW_UNARY(abs, on_numbers, magnitude(x), x.op("sign"))
MW_UNARY(acos, on_floats, std::acos(x), -1.0 / sqrt(1.0 - x * x))
MW_UNARY(asin, on_floats, std::asin(x), 1.0 / sqrt(1.0 - x * x))
MW_UNARY(atan, on_floats, std::atan(x), 1.0 / (1.0 + x * x))
MW_UNARY(atanh, on_floats, std::atanh(x), 1.0 / (1.0 - x * x))
MW_STEPS(ceil, on_floats, std::ceil(x))
MW_UNARY(cos, on_floats, std::cos(x), -x.op("sin"))
MW_UNARY(cosh, on_floats, std::cosh(x), x.op("sinh"))
MW_UNARY(erf, on_floats, std::erf(x), kTwoOverSqrtPi* exp(-(x* x)))
MW_UNARY(exp, on_floats, std::exp(x), y)
MW_UNARY(exp2, on_numbers, power_of_two(x), y* kLogTwo)
MW_STEPS(floor, on_floats, std::floor(x))
MW_STEPS(round, on_floats, std::nearbyint(x))  // halves to even
MW_STEPS(sign, on_numbers, sign_of(x))
MW_UNARY(sin, on_floats, std::sin(x), x.op("cos"))
MW_UNARY(sinh, on_floats, std::sinh(x), x.op("cosh"))
MW_UNARY(sqrt, on_floats, std::sqrt(x), 0.5 / y)
MW_UNARY(square, on_numbers, wrapping(x, x, [](auto a, auto b) { return a * b; }), 2.0 * x)
MW_UNARY(tan, on_floats, std::tan(x), 1.0 + y * y)
MW_UNARY(tanh, on_floats, std::tanh(x), 1.0 - y * y)
#undef MW_STEPS
#undef MW_UNARY

OpDef inverse_op() {
  return with_epsilon("inverse", 1e-4, [](auto x) { return 1 / x; })
      .vjp(slope([](const Expr& /*x*/, const Expr& y) { return -(y * y); }));
}
OpDef log_op() {
  return with_epsilon("log", 1e-45, [](auto x) { return std::log(x); })
      .vjp(slope_of([](const Vjp& v, const Expr& x, const Expr& /*y*/) {
        // Next to any other number the default epsilon is nothing.
        const double epsilon = v.number("epsilon");
        return 1.0 / (epsilon > 1e-40 ? x + epsilon : x);
      }));
}
OpDef rsqrt_op() {
  return with_epsilon("rsqrt", 1e-12, [](auto x) { return 1 / std::sqrt(x); })
      .vjp(slope([](const Expr& /*x*/, const Expr& y) { return -0.5 * (y * y * y); }));
}

OpDef logical_not_op() {
  return OpDef("logical_not")
      .input("x", DType::kBool)
      .traits(kElementwise)
      .infer(infer_bool)
      .eval(evaluate_not)
      .no_vjp(NoGradient::kIntegerOutput);
}

}  // namespace mw::ops
