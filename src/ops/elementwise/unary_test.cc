// Cases for the unary ops and cast.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ops/op_case.h"

namespace mw::ops {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

Reference each(double (*f)(double)) {
  return [f](const OpCase& c) {
    Tensor y = c["x"].clone();
    for (int64_t i = 0; i < y.count(); ++i) y.set_number(i, f(y.number_at(i)));
    return std::vector<Tensor>{y};
  };
}

// Shapes that any unary op must take, with values in [low, high].
void shapes(OpCases& cases, double low, double high) {
  cases.add("matrix", {{"x", cases.uniform({3, 5}, low, high)}});
  cases.add("scalar", {{"x", OpCases::number((low + 3 * high) / 4)}});
  cases.add("no elements", {{"x", OpCases::values({}, {0, 3})}});
  cases.add("five axes", {{"x", cases.uniform({2, 1, 3, 1, 2}, low, high)}});
}

void rejects_integers(OpCases& cases) {
  cases.reject("integers", {{"x", OpCases::ints({1})}}, "x: expected a float dtype, got int32");
}

// Terms of the series until they vanish: independent of the library's functions.
double exp_series(double x) {
  double term = 1, sum = 1;
  for (int k = 1; k < 200; ++k) sum += term *= x / k;
  return sum;
}
double sin_series(double x) {
  double term = x, sum = x;
  for (int k = 1; k < 60; ++k) sum += term *= -x * x / ((2 * k) * (2 * k + 1));
  return sum;
}
double cos_series(double x) {
  double term = 1, sum = 1;
  for (int k = 1; k < 60; ++k) sum += term *= -x * x / ((2 * k - 1) * (2 * k));
  return sum;
}
double erf_series(double x) {
  double power = x, sum = x;
  for (int k = 1; k < 100; ++k) {
    power *= -x * x / k;
    sum += power / (2 * k + 1);
  }
  return sum * 2 / std::sqrt(std::acos(-1.0));
}

}  // namespace

OP_CASES(abs) {
  shapes(*this, -3, 3);
  add("signs", {{"x", values({-kInf, -0.5, -0.0, 2, kNaN}, {5})}})
      .expect({values({kInf, 0.5, 0, 2, kNaN}, {5})});
  add("integers", {{"x", ints({-3, 0, 4})}}).expect({ints({3, 0, 4})});
  add("narrow integers", {{"x", ints({-3, 4}, {2}, DType::kI8)}})
      .expect({ints({3, 4}, {2}, DType::kI8)});
  add("the smallest integer wraps", {{"x", ints({INT32_MIN})}}).expect({ints({INT32_MIN})});
  reject("strings", {{"x", text("a")}}, "x: expected numbers, got strings");
  reference(each([](double x) { return x < 0 ? -x : x; }));
}

OP_CASES(acos) {
  shapes(*this, -1, 1);
  add("ends", {{"x", values({-1, 1, 2}, {3})}}).expect({values({std::acos(-1.0), 0, kNaN}, {3})});
  rejects_integers(*this);
  reference(each([](double x) { return 2 * std::atan2(std::sqrt(1 - x), std::sqrt(1 + x)); }));
}

OP_CASES(asin) {
  shapes(*this, -1, 1);
  rejects_integers(*this);
  reference(each([](double x) { return std::atan2(x, std::sqrt((1 - x) * (1 + x))); }));
}

OP_CASES(atan) {
  shapes(*this, -4, 4);
  rejects_integers(*this);
  reference(each([](double x) { return std::atan2(x, 1.0); }));
}

OP_CASES(atanh) {
  shapes(*this, -0.9, 0.9);
  add("ends", {{"x", values({-1, 1, 2}, {3})}}).expect({values({-kInf, kInf, kNaN}, {3})});
  rejects_integers(*this);
  reference(each([](double x) { return 0.5 * std::log((1 + x) / (1 - x)); }));
}

OP_CASES(ceil) {
  add("signs", {{"x", values({-1.5, -0.25, 0, 0.25, 2, kInf}, {6})}})
      .expect({values({-1, 0, 0, 1, 2, kInf}, {6})});
  add("finite", {{"x", values({-1.5, 0.25}, {2})}}).expect({values({-1, 1}, {2})});
  rejects_integers(*this);
}

OP_CASES(cos) {
  shapes(*this, -6, 6);
  rejects_integers(*this);
  reference(each(cos_series));
}

OP_CASES(cosh) {
  shapes(*this, -4, 4);
  add("overflow", {{"x", values({-1e4, 1e4}, {2})}}).expect({values({kInf, kInf}, {2})});
  rejects_integers(*this);
  reference(each([](double x) { return (exp_series(x) + exp_series(-x)) / 2; }));
}

OP_CASES(erf) {
  shapes(*this, -2.5, 2.5);
  add("saturated", {{"x", values({-20, 20}, {2})}}).expect({values({-1, 1}, {2})});
  rejects_integers(*this);
  reference(each(erf_series));
}

OP_CASES(exp) {
  shapes(*this, -4, 4);
  add("limits", {{"x", values({-kInf, -1e4, 0, 1e4, kNaN}, {5})}})
      .expect({values({0, 0, 1, kInf, kNaN}, {5})});
  rejects_integers(*this);
  reference(each(exp_series));
}

OP_CASES(exp2) {
  shapes(*this, -4, 4);
  add("integers", {{"x", ints({0, 1, 30, 31, 1000, -1})}})
      .expect({ints({1, 2, 1 << 30, INT32_MAX, INT32_MAX, 0})});
  reference(each([](double x) { return exp_series(x * std::log(2.0)); }));
}

OP_CASES(floor) {
  add("signs", {{"x", values({-1.5, -0.25, 0, 0.25, 2, -kInf}, {6})}})
      .expect({values({-2, -1, 0, 0, 2, -kInf}, {6})});
  add("finite", {{"x", values({-1.5, 0.25}, {2})}}).expect({values({-2, 0}, {2})});
  rejects_integers(*this);
}

OP_CASES(inverse) {
  // Of an fp16 program another one, but by less than its tolerance.
  constexpr double kDefault = 1e-4F;
  shapes(*this, 0.5, 3);
  add("one element", {{"x", values({4}, {1})}, {"epsilon", number(0)}})
      .expect({values({0.25}, {1})});
  add("epsilon", {{"x", uniform({4}, 0.5, 2)}, {"epsilon", number(0.25)}});
  add("default epsilon", {{"x", values({0}, {1})}})
      .expect({values({1 / kDefault}, {1})})
      .only({DType::kF64, DType::kF32});
  reject("epsilon of two", {{"x", number(1)}, {"epsilon", values({1, 2}, {2})}},
         "epsilon: expected one number, got shape [2]");
  rejects_integers(*this);
  reference([](const OpCase& c) {
    Tensor y = c["x"].clone();
    const double epsilon = c.number("epsilon", kDefault);
    for (int64_t i = 0; i < y.count(); ++i) y.set_number(i, 1 / (y.number_at(i) + epsilon));
    return std::vector<Tensor>{y};
  });
}

OP_CASES(log) {
  shapes(*this, 0.1, 9);
  add("epsilon", {{"x", uniform({4}, 0, 2)}, {"epsilon", number(0.25)}});
  add("one element", {{"x", values({2}, {1})}}).expect({values({std::log(2.0)}, {1})});
  // The default 1e-45 is the smallest fp32 number, and nothing in fp16.
  add("zero", {{"x", values({0}, {1})}})
      .expect({values({std::log(static_cast<double>(1e-45F))}, {1})})
      .only({DType::kF64, DType::kF32});
  add("zero in fp16", {{"x", values({0}, {1})}}).expect({values({-kInf}, {1})}).only({DType::kF16});
  add("negative", {{"x", values({-1}, {1})}}).expect({values({kNaN}, {1})});
  rejects_integers(*this);
  reference([](const OpCase& c) {
    Tensor y = c["x"].clone();
    const double epsilon = c.number("epsilon", 0);
    for (int64_t i = 0; i < y.count(); ++i) {
      y.set_number(i, std::log2(y.number_at(i) + epsilon) / std::log2(std::exp(1.0)));
    }
    return std::vector<Tensor>{y};
  });
}

OP_CASES(logical_not) {
  add("matrix", {{"x", bools({1, 0, 0, 1}, {2, 2})}}).expect({bools({0, 1, 1, 0}, {2, 2})});
  add("scalar", {{"x", flag(false)}}).expect({flag(true)});
  reject("strings", {{"x", text("a")}}, "x: expected numbers, got strings");
}

OP_CASES(round) {
  add("halves go to even", {{"x", values({-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.75}, {7})}})
      .expect({values({-2, -2, 0, 0, 2, 2, 3}, {7})});
  add("not finite", {{"x", values({kInf, kNaN}, {2})}}).expect({values({kInf, kNaN}, {2})});
  rejects_integers(*this);
}

OP_CASES(rsqrt) {
  shapes(*this, 0.25, 4);
  add("one element", {{"x", values({4}, {1})}}).expect({values({0.5}, {1})});
  add("epsilon", {{"x", uniform({4}, 0, 2)}, {"epsilon", number(0.25)}});
  add("zero", {{"x", values({0}, {1})}})
      .expect({values({1 / std::sqrt(static_cast<double>(1e-12F))}, {1})})
      .only({DType::kF64, DType::kF32});
  rejects_integers(*this);
  reference([](const OpCase& c) {
    Tensor y = c["x"].clone();
    const double epsilon = c.number("epsilon", 1e-12F);
    for (int64_t i = 0; i < y.count(); ++i)
      y.set_number(i, std::pow(y.number_at(i) + epsilon, -0.5));
    return std::vector<Tensor>{y};
  });
}

OP_CASES(sign) {
  add("signs", {{"x", values({-kInf, -0.5, 0, 3, kNaN}, {5})}})
      .expect({values({-1, -1, 0, 1, kNaN}, {5})});
  add("finite", {{"x", values({-1.5, 0.25}, {2})}}).expect({values({-1, 1}, {2})});
  add("integers", {{"x", ints({-7, 0, 9})}}).expect({ints({-1, 0, 1})});
}

OP_CASES(sin) {
  shapes(*this, -6, 6);
  rejects_integers(*this);
  reference(each(sin_series));
}

OP_CASES(sinh) {
  shapes(*this, -4, 4);
  rejects_integers(*this);
  reference(each([](double x) { return (exp_series(x) - exp_series(-x)) / 2; }));
}

OP_CASES(sqrt) {
  shapes(*this, 0, 9);
  add("ends", {{"x", values({0, 16, kInf, -1}, {4})}}).expect({values({0, 4, kInf, kNaN}, {4})});
  rejects_integers(*this);
  reference(each([](double x) { return std::pow(x, 0.5); }));
}

OP_CASES(square) {
  shapes(*this, -3, 3);
  add("integers", {{"x", ints({-3, 0, 4})}}).expect({ints({9, 0, 16})});
  add("integers wrap", {{"x", ints({1 << 16, (1 << 16) + 1})}}).expect({ints({0, (1 << 17) + 1})});
  reference(each([](double x) { return x * x; }));
}

OP_CASES(tan) {
  shapes(*this, -1.4, 1.4);
  rejects_integers(*this);
  reference(each([](double x) { return sin_series(x) / cos_series(x); }));
}

OP_CASES(tanh) {
  shapes(*this, -3, 3);
  add("saturated", {{"x", values({-1e4, 1e4}, {2})}}).expect({values({-1, 1}, {2})});
  rejects_integers(*this);
  reference(each([](double x) { return 1 - 2 / (exp_series(2 * x) + 1); }));
}

OP_CASES(cast) {
  const Tensor x = values({-1.75, 0, 0.5, 3.25}, {2, 2});
  add("float to int", {{"x", x}, {"dtype", text("int32")}}).expect({ints({-1, 0, 0, 3}, {2, 2})});
  add("float to bool", {{"x", x}, {"dtype", text("bool")}}).expect({bools({1, 0, 1, 1}, {2, 2})});
  add("float to fp16", {{"x", x}, {"dtype", text("fp16")}})
      .expect({values({-1.75, 0, 0.5, 3.25}, {2, 2}).to(DType::kF16)});
  add("fp64 stays", {{"x", x}, {"dtype", text("fp64")}}).only({DType::kF64}).expect({x});
  add("beyond the range", {{"x", values({-1e4, 1e4}, {2})}, {"dtype", text("uint8")}})
      .expect({ints({0, 255}, {2}, DType::kU8)});
  add("int to fp32", {{"x", ints({-2, 7})}, {"dtype", text("fp32")}})
      .expect({values({-2, 7}, {2}).to(DType::kF32)});
  add("int to int8", {{"x", ints({-2, 7})}, {"dtype", text("int8")}})
      .expect({ints({-2, 7}, {2}, DType::kI8)});
  add("bool to int", {{"x", bools({1, 0}, {2})}, {"dtype", text("int32")}}).expect({ints({1, 0})});
  add("int scalar to bool", {{"x", integer(2)}, {"dtype", text("bool")}}).expect({flag(true)});
  reject("unknown dtype", {{"x", x}, {"dtype", text("int33")}},
         "dtype: expected the name of a dtype, got 'int33'");
  reject("to string", {{"x", x}, {"dtype", text("string")}}, "expected a dtype of numbers");
  reject("from string", {{"x", text("1")}, {"dtype", text("fp32")}}, "x: expected numbers");
}

}  // namespace mw::ops
