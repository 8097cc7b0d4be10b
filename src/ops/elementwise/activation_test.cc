// Cases for the activations, clip, threshold and softmax.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ops/op_case.h"

namespace mw::ops {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

Reference each(double (*f)(double x, double alpha, double beta)) {
  return [f](const OpCase& c) {
    Tensor y = c["x"].clone();
    const double alpha = c.number("alpha", 0), beta = c.number("beta", 0);
    for (int64_t i = 0; i < y.count(); ++i) y.set_number(i, f(y.number_at(i), alpha, beta));
    return std::vector<Tensor>{y};
  };
}

// The parameters an op takes, then the shapes that any activation must take.
void shapes(OpCases& cases, const std::vector<CaseInput>& parameters = {}) {
  const auto add = [&](const char* title, Tensor x) {
    std::vector<CaseInput> inputs = parameters;
    inputs.emplace_back("x", std::move(x));
    cases.add(title, std::move(inputs));
  };
  add("matrix", cases.uniform({3, 5}, -4, 4));
  add("scalar", OpCases::number(-0.75));
  add("positive scalar", OpCases::number(0.75));
  add("no elements", OpCases::values({}, {0, 3}));
  std::vector<CaseInput> integers = parameters;
  integers.emplace_back("x", OpCases::ints({1}));
  cases.reject("integers", integers, "x: expected a float dtype, got int32");
}

double plain_sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

OP_CASES(relu) {
  shapes(*this);
  add("not finite", {{"x", values({-kInf, kInf, kNaN}, {3})}})
      .expect({values({0, kInf, kNaN}, {3})});
  reference(each([](double x, double, double) { return (x + std::fabs(x)) / 2; }));
}

OP_CASES(relu6) {
  add("range", {{"x", values({-1, 0, 3, 6, 7, kInf, kNaN}, {7})}})
      .expect({values({0, 0, 3, 6, 6, 6, kNaN}, {7})});
  add("finite", {{"x", values({-1, 0.5, 3, 5, 6, 7}, {2, 3})}})
      .expect({values({0, 0.5, 3, 5, 6, 6}, {2, 3})});
  reject("integers", {{"x", ints({1})}}, "x: expected a float dtype, got int32");
}

OP_CASES(sigmoid) {
  shapes(*this);
  add("saturated", {{"x", values({-1e4, 0, 1e4, kNaN}, {4})}})
      .expect({values({0, 0.5, 1, kNaN}, {4})});
  reference(each([](double x, double, double) { return plain_sigmoid(x); }));
}

OP_CASES(silu) {
  shapes(*this);
  add("saturated", {{"x", values({-1e4, 0, 1e4}, {3})}}).expect({values({0, 0, 1e4}, {3})});
  reference(each([](double x, double, double) { return x * plain_sigmoid(x); }));
}

OP_CASES(softplus) {
  shapes(*this);
  add("saturated", {{"x", values({-1e4, 1e4, kNaN}, {3})}}).expect({values({0, 1e4, kNaN}, {3})});
  reference(each([](double x, double, double) { return std::log(1 + std::exp(x)); }));
}

OP_CASES(softsign) {
  shapes(*this);
  reference(each([](double x, double, double) { return x < 0 ? x / (1 - x) : x / (1 + x); }));
}

OP_CASES(elu) {
  shapes(*this, {{"alpha", number(0.75)}});
  add("saturated", {{"x", values({-1e4, 1e4}, {2})}, {"alpha", number(2)}})
      .expect({values({-2, 1e4}, {2})});
  reject("no alpha", {{"x", number(1)}}, "alpha");
  reject("alpha of two", {{"x", number(1)}, {"alpha", values({1, 2}, {2})}},
         "alpha: expected one number, got shape [2]");
  reference(each([](double x, double a, double) { return x > 0 ? x : a * (std::exp(x) - 1); }));
}

OP_CASES(leaky_relu) {
  shapes(*this, {{"alpha", number(0.1)}});
  add("alpha of rank 1", {{"x", values({-2, 2}, {2})}, {"alpha", values({0.5}, {1})}})
      .expect({values({-1, 2}, {2})});
  add("alpha larger than 1", {{"x", values({-2, 2}, {2})}, {"alpha", number(3)}})
      .expect({values({-6, 2}, {2})});
  reference(each([](double x, double a, double) { return x >= 0 ? x : a * x; }));
}

OP_CASES(thresholded_relu) {
  add("around alpha", {{"x", values({-3, 1, 2, 3, kNaN}, {5})}, {"alpha", number(2)}})
      .expect({values({0, 0, 2, 3, kNaN}, {5})});
  add("negative alpha", {{"x", values({-3, -1}, {2})}, {"alpha", number(-2)}})
      .expect({values({0, -1}, {2})});
  reject("integers", {{"x", ints({1})}, {"alpha", number(2)}}, "x: expected a float dtype");
}

OP_CASES(clamped_relu) {
  shapes(*this, {{"alpha", number(0.5)}, {"beta", number(1.5)}});
  add("negative alpha is bounded too",
      {{"x", values({-4, -1, 4}, {3})}, {"alpha", number(-2)}, {"beta", number(3)}})
      .expect({values({3, 2, 3}, {3})});
  reference(each([](double x, double a, double b) { return std::fmin(b, x >= 0 ? x : a * x); }));
}

OP_CASES(linear_activation) {
  shapes(*this, {{"alpha", number(0.5)}, {"beta", number(-1.5)}});
  reference(each([](double x, double a, double b) { return x * a + b; }));
}

OP_CASES(scaled_tanh) {
  shapes(*this, {{"alpha", number(1.25)}, {"beta", number(0.75)}});
  reference(
      each([](double x, double a, double b) { return a * (2 * plain_sigmoid(2 * b * x) - 1); }));
}

OP_CASES(sigmoid_hard) {
  add("range",
      {{"x", values({-9, -1, 0, 1, 9, kNaN}, {6})}, {"alpha", number(0.25)}, {"beta", number(0.5)}})
      .expect({values({0, 0.25, 0.5, 0.75, 1, kNaN}, {6})});
  add("finite",
      {{"x", values({-9, -1, 0, 1, 2, 9}, {2, 3})}, {"alpha", number(0.25)}, {"beta", number(0.5)}})
      .expect({values({0, 0.25, 0.5, 0.75, 1, 1}, {2, 3})});
  reject("beta of two", {{"x", number(1)}, {"alpha", number(1)}, {"beta", values({1, 2}, {2})}},
         "beta: expected one number, got shape [2]");
}

OP_CASES(gelu) {
  shapes(*this);
  for (const char* mode : {"EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION"}) {
    add(mode, {{"x", uniform({3, 4}, -3, 3)}, {"mode", text(mode)}});
    add("saturated", {{"x", values({-1e3, 1e3}, {2})}, {"mode", text(mode)}})
        .expect({values({0, 1e3}, {2})});
  }
  reject("unknown mode", {{"x", number(1)}, {"mode", text("FAST")}},
         "mode: expected EXACT, TANH_APPROXIMATION or SIGMOID_APPROXIMATION, got 'FAST'");
  reference([](const OpCase& c) {
    const std::string mode = c.has("mode") ? c["mode"].data<std::string>()[0] : "EXACT";
    Tensor y = c["x"].clone();
    for (int64_t i = 0; i < y.count(); ++i) {
      const double x = y.number_at(i);
      const double inner = std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * std::pow(x, 3));
      y.set_number(i, mode == "EXACT"                ? 0.5 * x * (1 + std::erf(x / std::sqrt(2)))
                      : mode == "TANH_APPROXIMATION" ? 0.5 * x * (1 + std::tanh(inner))
                                                     : x / (1 + std::exp(-1.702 * x)));
    }
    return std::vector<Tensor>{y};
  });
}

OP_CASES(clip) {
  const Tensor x = values({-9, -1, 0.5, 2, 9, kNaN}, {2, 3});
  add("range", {{"x", x}, {"alpha", number(-1)}, {"beta", number(2)}})
      .expect({values({-1, -1, 0.5, 2, 2, kNaN}, {2, 3})});
  add("finite",
      {{"x", values({-9, 0, 0.5, 1, 1.5, 9}, {3, 2})}, {"alpha", number(-1)}, {"beta", number(2)}})
      .expect({values({-1, 0, 0.5, 1, 1.5, 2}, {3, 2})});
  add("no upper bound", {{"x", x}, {"alpha", number(0)}, {"beta", number(kInf)}})
      .expect({values({0, 0, 0.5, 2, 9, kNaN}, {2, 3})});
  add("crossed bounds give beta", {{"x", x}, {"alpha", number(3)}, {"beta", number(1)}})
      .at(ir::Opset::kIos15)
      .expect({values({1, 1, 1, 1, 1, kNaN}, {2, 3})});
  reject("crossed bounds", {{"x", x}, {"alpha", number(3)}, {"beta", number(1)}},
         "alpha: expected less than beta, which is 1, got 3");
}

OP_CASES(threshold) {
  add("floats", {{"x", values({-9, 0.5, 3, kNaN}, {4})}, {"alpha", number(0.75)}})
      .expect({values({0.75, 0.75, 3, kNaN}, {4})});
  add("on both sides", {{"x", values({-9, 0.5, 3, 1}, {2, 2})}, {"alpha", number(0.75)}})
      .expect({values({0.75, 0.75, 3, 1}, {2, 2})});
  add("integers", {{"x", ints({-9, 3})}, {"alpha", integer(1)}}).expect({ints({1, 3})});
}

OP_CASES(prelu) {
  const Tensor alpha = values({0.5, -1, 0.25}, {3});
  add("rank 4", {{"x", normal({2, 3, 2, 2})}, {"alpha", alpha}});
  add("rank 3", {{"x", normal({2, 3, 4})}, {"alpha", alpha}});
  add("rank 5", {{"x", normal({1, 3, 2, 1, 2})}, {"alpha", alpha}});
  add("no batch", {{"x", values({}, {0, 3, 4})}, {"alpha", alpha}});
  reject("rank 2", {{"x", normal({2, 3})}, {"alpha", alpha}}, "x: expected rank 3 to 5");
  reject("channels", {{"x", normal({2, 2, 3})}, {"alpha", alpha}},
         "alpha: expected shape [2], got [3]");
  reference([](const OpCase& c) {
    Tensor y = c["x"].clone();
    const int64_t channels = y.dim(1),
                  rest = y.count() / (std::max<int64_t>(y.dim(0), 1) * channels);
    for (int64_t i = 0; i < y.count(); ++i) {
      const double x = y.number_at(i), alpha = c["alpha"].number_at(i / rest % channels);
      y.set_number(i, std::fmax(x, 0) + alpha * std::fmin(x, 0));
    }
    return std::vector<Tensor>{y};
  });
}

OP_CASES(softplus_parametric) {
  const Tensor alpha = values({0.5, -1, 2}, {3}), beta = values({1, -0.5, 2}, {3});
  add("rank 4", {{"x", normal({2, 3, 2, 2})}, {"alpha", alpha}, {"beta", beta}});
  add("rank 3", {{"x", normal({2, 3, 4})}, {"alpha", alpha}, {"beta", beta}});
  add("saturated", {{"x", values({1e3, 1e3, 1e3}, {1, 3, 1})}, {"alpha", alpha}, {"beta", beta}})
      .expect({values({500, 0, 4e3}, {1, 3, 1})});
  reject("rank 2", {{"x", normal({2, 3})}, {"alpha", alpha}, {"beta", beta}}, "x: expected rank 3");
  reject("channels", {{"x", normal({2, 3, 3})}, {"alpha", alpha}, {"beta", values({1}, {1})}},
         "beta: expected shape [3], got [1]");
  reference([](const OpCase& c) {
    Tensor y = c["x"].clone();
    const int64_t channels = y.dim(1), rest = y.count() / (y.dim(0) * channels);
    for (int64_t i = 0; i < y.count(); ++i) {
      const int64_t k = i / rest % channels;
      const double z = c["beta"].number_at(k) * y.number_at(i);
      y.set_number(i, c["alpha"].number_at(k) * std::log(1 + std::exp(z)));
    }
    return std::vector<Tensor>{y};
  });
}

OP_CASES(softmax) {
  add("last axis", {{"x", normal({2, 3, 5})}});
  add("first axis", {{"x", normal({3, 4})}, {"axis", integer(0)}});
  add("middle axis", {{"x", normal({2, 3, 4})}, {"axis", integer(-2)}});
  add("one element", {{"x", normal({4, 1})}}).expect({values({1, 1, 1, 1}, {4, 1})});
  add("no elements", {{"x", values({}, {2, 0})}}).expect({values({}, {2, 0})});
  add("large values", {{"x", values({1e4, 1e4, -1e4}, {3})}}).expect({values({0.5, 0.5, 0}, {3})});
  add("masked", {{"x", values({-kInf, 1, 1}, {3})}}).expect({values({0, 0.5, 0.5}, {3})});
  add("all masked", {{"x", values({-kInf, -kInf}, {2})}}).expect({values({kNaN, kNaN}, {2})});
  reject("axis too large", {{"x", normal({2, 2})}, {"axis", integer(2)}},
         "axis: expected a value in [-2, 1], got 2");
  reject("a scalar", {{"x", number(1)}}, "x: expected rank 1 or more, got a scalar");
  reject("integers", {{"x", ints({1})}}, "x: expected a float dtype, got int32");
  reference([](const OpCase& c) {
    Tensor y = c["x"].clone();
    const int64_t given = c.has("axis") ? c.ints("axis")[0] : -1;
    const int64_t axis = given < 0 ? given + y.rank() : given;
    int64_t inner = 1;
    for (int64_t k = axis + 1; k < y.rank(); ++k) inner *= y.dim(k);
    const int64_t group = inner * y.dim(axis);
    for (int64_t i = 0; i < y.count(); ++i) {
      double sum = 0;
      for (int64_t k = 0; k < y.dim(axis); ++k) {
        sum += std::exp(c["x"].number_at(i / group * group + i % inner + k * inner));
      }
      y.set_number(i, std::exp(c["x"].number_at(i)) / sum);
    }
    return std::vector<Tensor>{y};
  });
}

}  // namespace mw::ops
