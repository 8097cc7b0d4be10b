// Binary arithmetic: f(x, y) element by element with broadcasting, a row of the table each.
// Integers wrap; an integer divided by zero gives zero.
#include <cmath>

#include "ops/elementwise/elementwise.h"
#include "ops/expr.h"

namespace mw::ops {
namespace {

Type infer(const OpView& op) {
  expect_numeric(op, "x");
  return broadcast_xy(op);
}

// `weight`: what its constants are, as InputFlag has it.
template <class F>
OpDef arithmetic(const char* name, uint32_t weight, F f) {
  return OpDef(name)
      .types("T", {DType::kF16, DType::kF32, DType::kI32})
      .input("x", "T", weight)
      .input("y", "T", weight)
      .traits(kElementwise)
      .infer(infer)
      .eval([f](Eval& e) {
        const Tensor x = computable(e.in("x")), y = computable(e.in("y"));
        Tensor out(x.dtype(), e.result_type().shape());
        dispatch_number(x.dtype(), [&]<class T>(T) { zip<T, T>(x, y, out, f); });
        set_narrowed(e, std::move(out));
      });
}

// x / y; of integers truncated toward zero.
template <class T>
T quotient(T x, T y) {
  if constexpr (std::is_integral_v<T>) {
    if (y == 0) return 0;
    if (y == -1) return wrapping<T>(0, x, [](auto a, auto b) { return a - b; });
    return x / y;
  } else {
    return x / y;
  }
}

template <class T>
T floor_quotient(T x, T y) {
  if constexpr (std::is_integral_v<T>) {
    const T q = quotient(x, y);
    const bool inexact = y != 0 && y != -1 && x % y != 0;
    return inexact && (x < 0) != (y < 0) ? q - 1 : q;
  } else {
    return std::floor(x / y);
  }
}

// The remainder of the floored quotient: it has the sign of y.
template <class T>
T modulus(T x, T y) {
  if constexpr (std::is_integral_v<T>) {
    if (y == 0 || y == -1) return 0;
    const T rest = x % y;
    return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
  } else {
    const T rest = std::fmod(x, y);
    return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
  }
}

// x^y; of integers by squaring, and a negative exponent truncates the fraction.
template <class T>
T power(T x, T y) {
  if constexpr (std::is_integral_v<T>) {
    if (y < 0) return x == 1 ? 1 : x == -1 ? (y % 2 == 0 ? 1 : -1) : 0;
    T result = 1;
    const auto times = [](auto a, auto b) { return a * b; };
    for (; y > 0; y /= 2) {
      if (y % 2 != 0) result = wrapping(result, x, times);
      x = wrapping(x, x, times);
    }
    return result;
  } else {
    return std::pow(x, y);
  }
}

// NaN in either operand gives NaN; 0 is larger than -0.
template <class T>
T larger(T x, T y) {
  if (x == y) return has_sign(x) ? y : x;
  return x > y || x != x ? x : y;
}
template <class T>
T smaller(T x, T y) {
  if (x == y) return has_sign(x) ? x : y;
  return x < y || x != x ? x : y;
}

void add_rule(Vjp& v) {
  v.add("x", grad(v));
  v.add("y", grad(v));
}

void sub_rule(Vjp& v) {
  v.add("x", grad(v));
  if (v.wants("y")) v.add("y", -grad(v));
}

void mul_rule(Vjp& v) {
  if (v.wants("x")) v.add("x", grad(v) * operand(v, "y"));
  if (v.wants("y")) v.add("y", grad(v) * operand(v, "x"));
}

void real_div_rule(Vjp& v) {
  const Expr by_x = grad(v) / operand(v, "y");
  v.add("x", by_x);
  if (v.wants("y")) v.add("y", -(by_x * result(v)));
}

// x - y floor(x / y)
void mod_rule(Vjp& v) {
  v.add("x", grad(v));
  if (!v.wants("y")) return;
  const Expr x = operand(v, "x"), y = operand(v, "y");
  v.add("y", -(grad(v) * (x / y).op("floor")));
}

// y x^(y-1), and z log x: zero where x is not positive, where z is 0 or has no derivative in y.
void pow_rule(Vjp& v) {
  const Expr g = grad(v), x = operand(v, "x"), y = operand(v, "y");
  if (v.wants("x")) {
    const Expr lower(v.builder(),
                     v.builder().op("pow", {{"x", x.value()}, {"y", (y - 1.0).value()}}));
    v.add("x", g * select(not_equal(y, 0), y * lower, 0.0));
  }
  if (v.wants("y")) {
    const Expr positive = x > 0.0;
    v.add("y", g * select(positive, result(v) * log(select(positive, x, 1.0)), 0.0));
  }
}

// The one that wins gets the gradient; equal ones share it.
void share(Vjp& v, const Expr& x_wins, const Expr& x_ties_or_wins) {
  const Expr g = grad(v);
  const Expr part = (as_number(x_wins, g) + as_number(x_ties_or_wins, g)) * 0.5;
  const Expr of_x = g * part;
  v.add("x", of_x);
  if (v.wants("y")) v.add("y", g - of_x);
}

void maximum_rule(Vjp& v) {
  const Expr x = operand(v, "x"), y = operand(v, "y");
  share(v, x > y, x >= y);
}

void minimum_rule(Vjp& v) {
  const Expr x = operand(v, "x"), y = operand(v, "y");
  share(v, x < y, x <= y);
}

}  // namespace

// What constants are, the value, and what the gradients of x and y are, in terms of g, x, y and the
// result z.
#define MW_BINARY(name, weight, formula, rule)                                          \
  OpDef name##_op() {                                                                   \
    return arithmetic(#name, weight, [](auto x, auto y) { return formula; }).vjp(rule); \
  }
MW_BINARY(add, kWeight | kBias, wrapping(x, y, [](auto a, auto b) { return a + b; }), add_rule)
MW_BINARY(sub, kWeight | kBias, wrapping(x, y, [](auto a, auto b) { return a - b; }), sub_rule)
MW_BINARY(mul, kWeight, wrapping(x, y, [](auto a, auto b) { return a * b; }), mul_rule)
MW_BINARY(real_div, kWeight, quotient(x, y), real_div_rule)
MW_BINARY(floor_div, kNoWeight, floor_quotient(x, y), flat)
MW_BINARY(mod, kNoWeight, modulus(x, y), mod_rule)
MW_BINARY(pow, kNoWeight, power(x, y), pow_rule)
MW_BINARY(maximum, kNoWeight, larger(x, y), maximum_rule)
MW_BINARY(minimum, kNoWeight, smaller(x, y), minimum_rule)
#undef MW_BINARY

}  // namespace mw::ops
