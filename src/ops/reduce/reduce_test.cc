// Cases for the reductions, argmax, argmin and cumsum.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ops/op_case.h"

namespace mw::ops {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

using Numbers = std::vector<double>;

// Gathers the elements behind each result and hands them to `f`.
Reference over_axes(double (*f)(const Numbers&)) {
  return [f](const OpCase& c) {
    const Tensor& x = c["x"];
    std::vector<bool> reduced(static_cast<size_t>(x.rank()), !c.has("axes"));
    if (c.has("axes")) {
      for (const int64_t axis : c.ints("axes")) {
        reduced[static_cast<size_t>(axis < 0 ? axis + x.rank() : axis)] = true;
      }
    }
    const bool keep = c.has("keep_dims") && c.ints("keep_dims")[0] != 0;
    Shape shape;
    for (size_t k = 0; k < reduced.size(); ++k) {
      if (!reduced[k]) shape.push_back(x.shape()[k]);
      if (reduced[k] && keep) shape.push_back(1);
    }
    Tensor y(DType::kF64, shape);
    std::vector<Numbers> groups(static_cast<size_t>(y.count()));
    for (int64_t i = 0; i < x.count(); ++i) {
      int64_t rest = i, group = 0, stride = 1;
      for (size_t k = reduced.size(); k-- > 0; rest /= x.shape()[k]) {
        if (reduced[k]) continue;
        group += rest % x.shape()[k] * stride;
        stride *= x.shape()[k];
      }
      groups[static_cast<size_t>(group)].push_back(x.number_at(i));
    }
    for (size_t i = 0; i < groups.size(); ++i) y.set_number(static_cast<int64_t>(i), f(groups[i]));
    return std::vector<Tensor>{y};
  };
}

void axes(OpCases& cases, double low, double high) {
  const Tensor x = cases.uniform({2, 3, 4}, low, high);
  const auto ints = [](const std::vector<int64_t>& v) { return OpCases::ints(v); };
  const Tensor keep = OpCases::flag(true);
  const auto add = [&](const char* title, std::vector<CaseInput> inputs) {
    cases.add(title, std::move(inputs)).tolerance(Kind::kReduction);
  };
  add("last axis", {{"x", x}, {"axes", ints({-1})}});
  add("first axis", {{"x", x}, {"axes", ints({0})}});
  add("middle axis kept", {{"x", x}, {"axes", ints({1})}, {"keep_dims", keep}});
  add("axes apart and unsorted", {{"x", x}, {"axes", ints({2, 0})}});
  add("axes apart and kept", {{"x", x}, {"axes", ints({-1, 0})}, {"keep_dims", keep}});
  add("all axes", {{"x", x}});
  add("all axes kept", {{"x", x}, {"keep_dims", keep}});
  add("a long row", {{"x", cases.uniform({2, 300}, low, high)}, {"axes", ints({1})}});
  add("axes of one element", {{"x", cases.uniform({3, 1}, low, high)}, {"axes", ints({1})}});
  add("a scalar", {{"x", OpCases::number(high)}});
  cases.add("no results", {{"x", OpCases::values({}, {0, 3})}, {"axes", ints({1})}})
      .expect({OpCases::values({}, {0})});
  cases.reject("axis too large", {{"x", x}, {"axes", ints({3})}},
               "axes: expected values in [-3, 2], got 3");
  cases.reject("axis twice", {{"x", x}, {"axes", ints({1, -2})}},
               "axes: expected distinct axes, got 1 twice");
  cases.reject("strings", {{"x", OpCases::text("a")}}, "x: expected numbers, got strings");
}

double sum(const Numbers& x) {
  double total = 0;
  for (const double v : x) total += v;
  return total;
}

}  // namespace

OP_CASES(reduce_sum) {
  axes(*this, -2, 2);
  add("no axes named", {{"x", values({1, 2}, {2})}, {"axes", ints({})}})
      .expect({values({1, 2}, {2})});
  add("of nothing", {{"x", values({}, {2, 0})}, {"axes", ints({1})}}).expect({values({0, 0}, {2})});
  add("integers", {{"x", ints({1, 2, 3, 4}, {2, 2})}, {"axes", ints({0})}}).expect({ints({4, 6})});
  add("many small terms", {{"x", Tensor::from(std::vector<float>(1 << 16, 0.1F), {1 << 16})}})
      .expect({Tensor::scalar(65536 * static_cast<double>(0.1F)).to(DType::kF32)});
  reference(over_axes(sum));
}

OP_CASES(reduce_mean) {
  axes(*this, -2, 2);
  add("of nothing", {{"x", values({}, {1, 0})}, {"axes", ints({1})}}).expect({values({kNaN}, {1})});
  add("integers are truncated", {{"x", ints({1, 2, -1, -2}, {2, 2})}, {"axes", ints({1})}})
      .expect({ints({1, -1})});
  reference(over_axes([](const Numbers& x) { return sum(x) / static_cast<double>(x.size()); }));
}

OP_CASES(reduce_max) {
  axes(*this, -2, 2);
  add("ties", {{"x", values({3, 1, 3, 2, 2, 2}, {2, 3})}, {"axes", ints({-1})}})
      .expect({values({3, 2}, {2})});
  add("NaN wins", {{"x", values({1, kNaN, 3}, {3})}}).expect({number(kNaN)});
  add("of nothing", {{"x", values({}, {0})}}).expect({number(-kInf)});
  add("integers", {{"x", ints({-5, -2, -9})}}).expect({integer(-2)});
  reference(over_axes([](const Numbers& x) {
    double best = x.at(0);
    for (const double v : x) best = std::fmax(best, v);
    return best;
  }));
}

OP_CASES(reduce_min) {
  axes(*this, -2, 2);
  add("ties", {{"x", values({1, 3, 1, 2, 2, 2}, {2, 3})}, {"axes", ints({-1})}})
      .expect({values({1, 2}, {2})});
  add("NaN wins", {{"x", values({1, kNaN, 3}, {3})}}).expect({number(kNaN)});
  add("integers", {{"x", ints({5, 2, 9})}}).expect({integer(2)});
  reference(over_axes([](const Numbers& x) {
    double best = x.at(0);
    for (const double v : x) best = std::fmin(best, v);
    return best;
  }));
}

OP_CASES(reduce_prod) {
  const Tensor x = values({1, 2, 3, 4, 5, -6}, {2, 3});
  add("rows", {{"x", x}, {"axes", ints({1})}}).expect({values({6, -120}, {2})});
  add("all", {{"x", x}}).expect({number(-720)});
  add("longer rows", {{"x", values({2, 3, -1, 4, 5, 1, 2, -3}, {2, 4})}, {"axes", ints({1})}})
      .expect({values({-24, -30}, {2})});
  add("columns kept", {{"x", x}, {"axes", ints({0})}, {"keep_dims", flag(true)}})
      .expect({values({4, 10, -18}, {1, 3})});
  add("axes apart", {{"x", values({1, 2, 3, 4, 5, 6, 7, 8}, {2, 2, 2})}, {"axes", ints({2, 0})}})
      .expect({values({60, 672}, {2})});
  add("one element", {{"x", values({3, 4}, {2, 1})}, {"axes", ints({1})}})
      .expect({values({3, 4}, {2})});
  add("a pair", {{"x", values({3, 4}, {1, 2})}, {"axes", ints({1})}}).expect({values({12}, {1})});
  add("zeros", {{"x", values({2, 0, 3, 4, 0, 5, 0, 6, 0, 0, 0, 7}, {3, 4})}, {"axes", ints({1})}})
      .expect({values({0, 0, 0}, {3})});
  add("of nothing", {{"x", values({}, {0})}}).expect({number(1)});
  add("integers", {{"x", ints({2, -3, 7})}}).expect({integer(-42)});
  reject("axis too small", {{"x", x}, {"axes", ints({-3})}}, "axes: expected values in [-2, 1]");
}

OP_CASES(reduce_sum_square) {
  axes(*this, -2, 2);
  add("integers", {{"x", ints({2, -3})}}).expect({integer(13)});
  reference(over_axes([](const Numbers& x) {
    double total = 0;
    for (const double v : x) total += v * v;
    return total;
  }));
}

OP_CASES(reduce_l1_norm) {
  axes(*this, -2, 2);
  add("integers", {{"x", ints({2, -3})}}).expect({integer(5)});
  reference(over_axes([](const Numbers& x) {
    double total = 0;
    for (const double v : x) total += std::fabs(v);
    return total;
  }));
}

OP_CASES(reduce_l2_norm) {
  axes(*this, -2, 2);
  add("of zeros", {{"x", values({0, 0, 3, -4}, {2, 2})}, {"axes", ints({1})}})
      .expect({values({0, 5}, {2})});
  add("integers are truncated", {{"x", ints({2, -3})}}).expect({integer(3)});
  reference(over_axes([](const Numbers& x) {
    double norm = 0;
    for (const double v : x) norm = std::hypot(norm, v);
    return norm;
  }));
}

OP_CASES(reduce_log_sum) {
  axes(*this, 0.5, 2);
  add("of zero", {{"x", values({0, 0}, {2})}}).expect({number(-kInf)});
  add("integers are truncated", {{"x", ints({10, 12})}}).expect({integer(3)});
  reference(over_axes([](const Numbers& x) { return std::log(sum(x)); }));
}

OP_CASES(reduce_log_sum_exp) {
  axes(*this, -4, 4);
  add("large values", {{"x", values({1e4, 1e4}, {2})}}).expect({number(1e4 + std::log(2.0))});
  add("rising values", {{"x", values({-1e4, 0, 1e4}, {3})}}).expect({number(1e4)});
  add("all masked", {{"x", values({-kInf, -kInf}, {2})}}).expect({number(-kInf)});
  add("NaN", {{"x", values({1, kNaN, 3}, {3})}}).expect({number(kNaN)});
  reference(over_axes([](const Numbers& x) {
    double total = 0;
    for (const double v : x) total += std::exp(v);
    return std::log(total);
  }));
}

OP_CASES(reduce_argmax) {
  const Tensor x = values({1, 5, 3, 9, 7, 9}, {2, 3});
  add("last axis", {{"x", x}}).expect({ints({1, 0})});
  add("first axis", {{"x", x}, {"axis", integer(0)}}).expect({ints({1, 1, 1})});
  add("kept", {{"x", x}, {"axis", integer(-1)}, {"keep_dims", flag(true)}})
      .expect({ints({1, 0}, {2, 1})});
  add("as uint16", {{"x", x}, {"output_dtype", text("uint16")}})
      .expect({ints({1, 0}, {2}, DType::kU16)});
  add("before ios17", {{"x", x}}).at(ir::Opset::kIos15).expect({ints({1, 0})});
  add("integers", {{"x", ints({-4, -2, -2})}}).expect({integer(1)});
  add("all masked", {{"x", values({-kInf, -kInf}, {2})}}).expect({integer(0)});
  add("NaN wins", {{"x", values({1, kNaN, 3}, {3})}}).expect({integer(1)});
  add("no rows", {{"x", values({}, {0, 2})}}).expect({ints({})});
  reject("of nothing", {{"x", values({}, {2, 0})}}, "x: expected elements along axis 1, got none");
  reject("a scalar", {{"x", number(1)}}, "x: expected rank 1 or more, got a scalar");
  reject("float indices", {{"x", x}, {"output_dtype", text("fp32")}},
         "output_dtype: expected 'int32' or 'uint16', got 'fp32'");
  reject("too many for uint16",
         {{"x", Tensor(DType::kI32, {65537})}, {"output_dtype", text("uint16")}},
         "uint16 holds indices below 65536, got an axis of 65537; use int32");
  reject("axis too large", {{"x", x}, {"axis", integer(2)}}, "axis: expected a value in [-2, 1]");
  reject("strings", {{"x", Tensor(DType::kString, {2})}}, "x: expected numbers, got strings");
}

OP_CASES(reduce_argmin) {
  const Tensor x = values({1, 5, 3, 9, 7, 7}, {2, 3});
  add("last axis", {{"x", x}}).expect({ints({0, 1})});
  add("middle axis", {{"x", values({1, 0, 2, 3, 4, 0}, {1, 3, 2})}, {"axis", integer(1)}})
      .expect({ints({0, 0}, {1, 2})});
  add("NaN wins", {{"x", values({1, kNaN, 0}, {3})}}).expect({integer(1)});
}

OP_CASES(cumsum) {
  const Tensor x = values({1, 2, 3, 4, 5, 6}, {2, 3});
  add("first axis", {{"x", x}}).expect({values({1, 2, 3, 5, 7, 9}, {2, 3})});
  add("last axis", {{"x", x}, {"axis", integer(-1)}}).expect({values({1, 3, 6, 4, 9, 15}, {2, 3})});
  add("exclusive", {{"x", x}, {"axis", integer(1)}, {"exclusive", flag(true)}})
      .expect({values({0, 1, 3, 0, 4, 9}, {2, 3})});
  add("reverse", {{"x", x}, {"axis", integer(1)}, {"reverse", flag(true)}})
      .expect({values({6, 5, 3, 15, 11, 6}, {2, 3})});
  add("exclusive and reverse",
      {{"x", x}, {"axis", integer(0)}, {"exclusive", flag(true)}, {"reverse", flag(true)}})
      .expect({values({4, 5, 6, 0, 0, 0}, {2, 3})});
  add("middle axis", {{"x", values({1, 2, 3, 4}, {1, 2, 2})}, {"axis", integer(1)}})
      .expect({values({1, 2, 4, 6}, {1, 2, 2})});
  add("integers", {{"x", ints({1, -2, 3})}}).expect({ints({1, -1, 2})});
  add("no elements", {{"x", values({}, {0, 2})}}).expect({values({}, {0, 2})});
  reject("a scalar", {{"x", number(1)}}, "x: expected rank 1 or more, got a scalar");
  reject("axis too large", {{"x", x}, {"axis", integer(2)}}, "axis: expected a value in [-2, 1]");
}

}  // namespace mw::ops
