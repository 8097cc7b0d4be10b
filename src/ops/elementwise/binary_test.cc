// Cases for binary arithmetic, comparisons, logic and select.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ops/op_case.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// The flat index into `shape` that broadcasting reads for position `flat` of `result`.
int64_t source_of(int64_t flat, const Shape& result, const Shape& shape) {
  int64_t index = 0, stride = 1;
  for (size_t back = 1; back <= result.size(); ++back) {
    const int64_t extent = result[result.size() - back];
    const int64_t position = flat % extent;
    flat /= extent;
    if (back > shape.size()) continue;
    const int64_t own = shape[shape.size() - back];
    index += own == 1 ? 0 : position * stride;
    stride *= own;
  }
  return index;
}

Shape result_shape(const Shape& a, const Shape& b) {
  Shape result(std::max(a.size(), b.size()), 1);
  for (const Shape& shape : {a, b}) {
    for (size_t back = 1; back <= shape.size(); ++back) {
      int64_t& extent = result[result.size() - back];
      if (shape[shape.size() - back] != 1) extent = shape[shape.size() - back];
    }
  }
  return result;
}

Reference each(double (*f)(double, double), DType dtype = DType::kF64) {
  return [f, dtype](const OpCase& c) {
    const Tensor &x = c["x"], &y = c["y"];
    Tensor out(dtype, result_shape(x.shape(), y.shape()));
    for (int64_t i = 0; i < out.count(); ++i) {
      out.set_number(i, f(x.number_at(source_of(i, out.shape(), x.shape())),
                          y.number_at(source_of(i, out.shape(), y.shape()))));
    }
    return std::vector<Tensor>{out};
  };
}

void broadcasts(OpCases& cases, double low, double high) {
  const auto data = [&](const Shape& shape) { return cases.uniform(shape, low, high); };
  cases.add("equal shapes", {{"x", data({2, 3})}, {"y", data({2, 3})}});
  cases.add("scalars", {{"x", data({})}, {"y", data({})}});
  cases.add("scalar on the right", {{"x", data({2, 3})}, {"y", data({})}});
  cases.add("scalar on the left", {{"x", data({})}, {"y", data({2, 3})}});
  cases.add("row", {{"x", data({2, 3, 4})}, {"y", data({4})}});
  cases.add("column", {{"x", data({3, 1})}, {"y", data({2, 3, 4})}});
  cases.add("outer", {{"x", data({3, 1})}, {"y", data({1, 4})}});
  cases.add("middle axis", {{"x", data({2, 3, 1, 5})}, {"y", data({1, 4, 1})}});
  cases.add("no elements", {{"x", data({2, 0})}, {"y", data({1, 1})}});
  cases.reject("shapes apart", {{"x", data({2, 3})}, {"y", data({2, 2})}},
               "y: shapes [2, 3] and [2, 2] cannot be broadcast together");
  cases.reject("dtypes apart", {{"x", data({2})}, {"y", OpCases::ints({1, 2})}},
               "y: expected dtype fp32 as x has, got int32");
  cases.reject("strings", {{"x", OpCases::text("a")}, {"y", OpCases::text("b")}},
               "x: expected numbers, got strings");
}

// In the shapes of broadcasts() too.
void ties(OpCases& cases) {
  const auto some = [](const Shape& shape) {
    Tensor all(DType::kF64, shape);
    for (int64_t i = 0; i < all.count(); ++i) all.set_number(i, static_cast<double>(i % 3));
    return all;
  };
  cases.add("ties", {{"x", some({4})}, {"y", OpCases::values({0, 2, 2, 1}, {4})}});
  cases.add("equal scalars", {{"x", OpCases::number(2)}, {"y", OpCases::number(2)}});
  for (const double y : {1.0, 3.0}) {
    cases.add("scalars apart", {{"x", OpCases::number(2)}, {"y", OpCases::number(y)}});
  }
  cases.add("ties with a scalar", {{"x", some({2, 3})}, {"y", OpCases::number(1)}});
  cases.add("ties of a scalar", {{"x", OpCases::number(1)}, {"y", some({2, 3})}});
  cases.add("ties with a row", {{"x", some({2, 3, 4})}, {"y", some({4})}});
  cases.add("ties with a column", {{"x", some({3, 1})}, {"y", some({2, 3, 4})}});
  cases.add("ties, outer", {{"x", some({3, 1})}, {"y", some({1, 4})}});
  cases.add("ties on a middle axis", {{"x", some({2, 3, 1, 5})}, {"y", some({1, 4, 1})}});
}

}  // namespace

OP_CASES(add) {
  broadcasts(*this, -3, 3);
  add("integers wrap", {{"x", ints({1, INT32_MAX})}, {"y", ints({2, 1})}})
      .expect({ints({3, INT32_MIN})});
  add("narrow integers wrap",
      {{"x", ints({200, 1}, {2}, DType::kU8)}, {"y", ints({100, 2}, {2}, DType::kU8)}})
      .expect({ints({44, 3}, {2}, DType::kU8)});
  reference(each([](double x, double y) { return x + y; }));
}

OP_CASES(sub) {
  broadcasts(*this, -3, 3);
  add("integers", {{"x", ints({1, INT32_MIN})}, {"y", ints({3, 1})}})
      .expect({ints({-2, INT32_MAX})});
  reference(each([](double x, double y) { return x - y; }));
}

OP_CASES(mul) {
  broadcasts(*this, -3, 3);
  add("integers", {{"x", ints({-3, 1 << 16})}, {"y", ints({5, 1 << 16})}}).expect({ints({-15, 0})});
  reference(each([](double x, double y) { return x * y; }));
}

OP_CASES(real_div) {
  broadcasts(*this, 0.5, 3);
  add("by zero", {{"x", values({1, -1, 0}, {3})}, {"y", values({0, 0, 0}, {3})}})
      .expect({values({kInf, -kInf, kNaN}, {3})});
  add("integers", {{"x", ints({20, -7, 7, 5, INT32_MIN})}, {"y", ints({12, 2, -2, 0, -1})}})
      .expect({ints({1, -3, -3, 0, INT32_MIN})});
  reference(each([](double x, double y) { return x / y; }));
}

OP_CASES(floor_div) {
  add("signs", {{"x", values({7, -7, 7, -7, 6}, {5})}, {"y", values({2, 2, -2, -2, 3}, {5})}})
      .expect({values({3, -4, -4, 3, 2}, {5})});
  add("broadcast", {{"x", values({1, 5}, {2, 1})}, {"y", values({2, 4}, {2})}})
      .expect({values({0, 0, 2, 1}, {2, 2})});
  add("integers", {{"x", ints({7, -7, 7, -7, 5, INT32_MIN})}, {"y", ints({2, 2, -2, -2, 0, -1})}})
      .expect({ints({3, -4, -4, 3, 0, INT32_MIN})});
}

OP_CASES(mod) {
  add("signs", {{"x", values({7, -7, 7, -7, 6}, {5})}, {"y", values({3, 3, -3, -3, 3}, {5})}})
      .expect({values({1, 2, -2, -1, 0}, {5})});
  add("fractions", {{"x", values({-0.5, 5.25}, {2})}, {"y", values({2, 1.5}, {2})}})
      .expect({values({1.5, 0.75}, {2})});
  add("by zero", {{"x", number(1)}, {"y", number(0)}}).expect({number(kNaN)});
  add("integers", {{"x", ints({7, -7, 7, -7, 5, INT32_MIN})}, {"y", ints({3, 3, -3, -3, 0, -1})}})
      .expect({ints({1, 2, -2, -1, 0, 0})});
}

OP_CASES(pow) {
  broadcasts(*this, 0.5, 2);
  add("signs and zeros",
      {{"x", values({-2, -2, 0, 0, -8}, {5})}, {"y", values({3, -1, 0, 2, 0.5}, {5})}})
      .expect({values({-8, -0.5, 1, 0, kNaN}, {5})});
  add("integers",
      {{"x", ints({2, -3, 0, 7, 2, 1, -1, -1})}, {"y", ints({10, 3, 0, 1, -1, -5, -3, -2})}})
      .expect({ints({1024, -27, 1, 7, 0, 1, -1, 1})});
  reference(each([](double x, double y) { return std::exp2(y * std::log2(x)); }));
}

OP_CASES(maximum) {
  broadcasts(*this, -3, 3);
  ties(*this);
  add("NaN wins", {{"x", values({kNaN, 1}, {2})}, {"y", values({1, kNaN}, {2})}})
      .expect({values({kNaN, kNaN}, {2})});
  add("integers", {{"x", ints({-3, 4})}, {"y", integer(1)}}).expect({ints({1, 4})});
  reference(each([](double x, double y) { return std::fmax(x, y); }));
}

OP_CASES(minimum) {
  broadcasts(*this, -3, 3);
  ties(*this);
  add("NaN wins", {{"x", values({kNaN, 1}, {2})}, {"y", values({1, kNaN}, {2})}})
      .expect({values({kNaN, kNaN}, {2})});
  add("integers", {{"x", ints({-3, 4})}, {"y", integer(1)}}).expect({ints({-3, 1})});
  reference(each([](double x, double y) { return std::fmin(x, y); }));
}

#define MW_COMPARISON(name, expression, when_less, when_equal, when_greater, when_nan)          \
  OP_CASES(name) {                                                                              \
    broadcasts(*this, -3, 3);                                                                   \
    add("order and NaN",                                                                        \
        {{"x", values({1, 2, 3, kNaN}, {4})}, {"y", values({2, 2, 2, kNaN}, {4})}})             \
        .expect({bools({when_less, when_equal, when_greater, when_nan}, {4})});                 \
    add("integers", {{"x", ints({1, 2, 3})}, {"y", ints({2})}})                                 \
        .expect({bools({when_less, when_equal, when_greater}, {3})});                           \
    add("unsigned bytes",                                                                       \
        {{"x", ints({1, 200}, {2}, DType::kU8)}, {"y", ints({200, 1}, {2}, DType::kU8)}})       \
        .expect({bools({when_less, when_greater}, {2})});                                       \
    reference(each([](double x, double y) { return (expression) ? 1.0 : 0.0; }, DType::kBool)); \
  }
MW_COMPARISON(equal, x == y, 0, 1, 0, 0)
MW_COMPARISON(not_equal, x != y, 1, 0, 1, 1)
MW_COMPARISON(greater, x > y, 0, 0, 1, 0)
MW_COMPARISON(greater_equal, x >= y, 0, 1, 1, 0)
MW_COMPARISON(less, x < y, 1, 0, 0, 0)
MW_COMPARISON(less_equal, x <= y, 1, 1, 0, 0)
#undef MW_COMPARISON

#define MW_LOGIC(name, both_false, one_true, both_true)                                           \
  OP_CASES(name) {                                                                                \
    add("table", {{"x", bools({0, 0, 1, 1}, {4})}, {"y", bools({0, 1, 0, 1}, {4})}})              \
        .expect({bools({both_false, one_true, one_true, both_true}, {4})});                       \
    add("broadcast", {{"x", bools({0, 1}, {2, 1})}, {"y", flag(true)}})                           \
        .expect({bools({one_true, both_true}, {2, 1})});                                          \
    reject("dtypes apart", {{"x", bools({1}, {1})}, {"y", ints({1})}}, "y: expected dtype bool"); \
  }
MW_LOGIC(logical_and, 0, 0, 1)
MW_LOGIC(logical_or, 0, 1, 1)
MW_LOGIC(logical_xor, 0, 1, 0)
#undef MW_LOGIC

OP_CASES(select) {
  const Tensor a = values({1, 2, 3, 4}, {2, 2}), b = values({5, 6, 7, 8}, {2, 2});
  add("one shape", {{"cond", bools({1, 0, 0, 1}, {2, 2})}, {"a", a}, {"b", b}})
      .expect({values({1, 6, 7, 4}, {2, 2})});
  add("one condition for all", {{"cond", flag(false)}, {"a", a}, {"b", number(9)}})
      .expect({values({9, 9, 9, 9}, {2, 2})});
  add("a number for all that is not chosen",
      {{"cond", bools({1, 0, 0, 1}, {2, 2})}, {"a", a}, {"b", number(9)}})
      .expect({values({1, 9, 9, 4}, {2, 2})});
  add("a condition per row", {{"cond", bools({1, 0}, {2, 1})}, {"a", number(0)}, {"b", b}})
      .expect({values({0, 0, 7, 8}, {2, 2})});
  add("the condition is the largest",
      {{"cond", bools({1, 0, 1}, {3})}, {"a", number(1)}, {"b", number(2)}})
      .expect({values({1, 2, 1}, {3})});
  add("integers", {{"cond", bools({1, 0}, {2})}, {"a", ints({1, 2})}, {"b", ints({3, 4})}})
      .expect({ints({1, 4})});
  add("bools", {{"cond", bools({1, 0}, {2})}, {"a", flag(true)}, {"b", flag(false)}})
      .expect({bools({1, 0}, {2})});
  add("what is not chosen does not matter",
      {{"cond", bools({1, 0}, {2})}, {"a", values({1, kNaN}, {2})}, {"b", values({kNaN, 4}, {2})}})
      .expect({values({1, 4}, {2})});
  reject("dtypes apart", {{"cond", flag(true)}, {"a", a}, {"b", ints({1})}},
         "b: expected dtype fp32 as a has, got int32");
  reject("values apart", {{"cond", flag(true)}, {"a", a}, {"b", values({1, 2, 3}, {3})}},
         "b: shapes [2, 2] and [3] cannot be broadcast together");
  reject("condition apart", {{"cond", bools({1, 0, 1}, {3})}, {"a", a}, {"b", b}},
         "cond: shapes [2, 2] and [3] cannot be broadcast together");
  reject("a string for a condition", {{"cond", text("yes")}, {"a", a}, {"b", b}},
         "cond: expected numbers, got strings");
}

}  // namespace mw::ops
