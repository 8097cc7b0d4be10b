// Cases for avg_pool, max_pool and l2_pool.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "ops/op_case.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

// Calls finish(elements inside x, number of elements with padding) for each window.
using Finish = std::function<double(const std::vector<double>&, double)>;
std::vector<Tensor> pooled(const OpCase& c, const Finish& finish) {
  const Tensor& x = c["x"];
  const std::vector<int64_t> kernel = c.ints("kernel_sizes");
  const std::string type = c["pad_type"].data<std::string>()[0];
  const size_t axes = kernel.size();
  std::vector<int64_t> strides(axes, 1), pad(2 * axes, 0);
  if (c.has("strides")) strides = c.ints("strides");
  if (c.has("pad") && type == "custom") pad = c.ints("pad");
  const bool ceil_mode = c.has("ceil_mode") && c.ints("ceil_mode")[0] != 0;
  Shape shape{x.dim(0), x.dim(1)};
  for (size_t i = 0; i < axes; ++i) {
    const int64_t in = x.shape()[i + 2];
    if (type.starts_with("same")) {
      const int64_t out = (in + strides[i] - 1) / strides[i];
      const int64_t total = std::max<int64_t>(0, (out - 1) * strides[i] + kernel[i] - in);
      pad[2 * i] = type == "same" ? total / 2 : (total + 1) / 2;
      pad[2 * i + 1] = total - pad[2 * i];
    }
    const double steps = static_cast<double>(in + pad[2 * i] + pad[2 * i + 1] - kernel[i]) /
                         static_cast<double>(strides[i]);
    auto out = static_cast<int64_t>(ceil_mode ? std::ceil(steps) : std::floor(steps)) + 1;
    if (ceil_mode && pad[2 * i] > 0 && (out - 1) * strides[i] >= in + pad[2 * i]) --out;
    shape.push_back(out);
  }
  Tensor y(DType::kF64, shape);
  for (Walk<0> w(shape, {}); !w.done(); w.next()) {
    std::vector<double> elements;
    double padded = 0;
    for (Walk<0> t(kernel, {}); !t.done(); t.next()) {
      int64_t at = w.index()[0] * x.dim(1) + w.index()[1];
      bool inside = true, counted = true;
      for (size_t i = 0; i < axes; ++i) {
        const int64_t in = x.shape()[i + 2];
        const int64_t from = w.index()[i + 2] * strides[i] - pad[2 * i] + t.index()[i];
        inside = inside && from >= 0 && from < in;
        counted = counted && from < in + pad[2 * i + 1];
        at = at * in + from;
      }
      if (inside) elements.push_back(x.number_at(at));
      padded += counted ? 1 : 0;
    }
    y.set_number(w.flat(), finish(elements, padded));
  }
  return {y};
}

// The cases that all three ops share.
template <class Cases>
void add_windows(Cases& cases) {
  using Inputs = std::vector<CaseInput>;
  const auto with = [&](const Shape& x, const std::vector<int64_t>& kernel, const char* type,
                        Inputs more = {}) {
    Inputs inputs{{"x", cases.normal(x)},
                  {"kernel_sizes", OpCases::ints(kernel)},
                  {"pad_type", OpCases::text(type)}};
    inputs.insert(inputs.end(), more.begin(), more.end());
    return inputs;
  };
  const auto ints = [](const std::vector<int64_t>& v) { return OpCases::ints(v); };
  const auto yes = OpCases::flag(true);
  const auto kind = Kind::kReduction;
  cases.add("1-D", with({2, 3, 9}, {3}, "valid")).tolerance(kind);
  cases.add("2-D", with({2, 3, 6, 7}, {2, 3}, "valid", {{"strides", ints({2, 3})}}))
      .tolerance(kind);
  for (const char* type : {"same", "same_lower"}) {
    cases.add(type, with({1, 2, 5, 8}, {3, 2}, type)).tolerance(kind);
    cases
        .add(std::string(type) + " with strides",
             with({1, 2, 5, 8}, {3, 2}, type, {{"strides", ints({2, 3})}}))
        .tolerance(kind);
  }
  cases
      .add("custom padding", with({1, 2, 5, 4}, {3, 3}, "custom",
                                  {{"pad", ints({1, 2, 0, 1})}, {"strides", ints({2, 1})}}))
      .tolerance(kind);
  cases
      .add("ceil_mode fills the last window partly",
           with({1, 2, 6, 7}, {3, 2}, "valid", {{"strides", ints({2, 2})}, {"ceil_mode", yes}}))
      .tolerance(kind);
  cases
      .add("ceil_mode drops a window that starts in the padding",
           with({1, 1, 4, 5}, {2, 3}, "custom",
                {{"pad", ints({1, 1, 1, 1})}, {"strides", ints({3, 2})}, {"ceil_mode", yes}}))
      .tolerance(kind);
  cases.add("the whole plane", with({2, 3, 4, 5}, {4, 5}, "valid")).tolerance(kind);
  cases.add("no batch", with({0, 3, 4}, {2}, "valid"));
  cases.reject("rank 2", with({3, 4}, {}, "valid"), "x: expected rank 3 to");
  cases.reject("number of kernel sizes", with({1, 3, 4}, {2, 2}, "valid"),
               "kernel_sizes: expected 1 values, got 2");
  cases.reject("kernel size 0", with({1, 3, 4}, {0}, "valid"),
               "kernel_sizes: expected values in [1, 2147483647], got 0");
  cases.reject("kernel beyond x", with({1, 3, 4}, {5}, "valid"),
               "x: expected at least 5 elements along axis 2 (with padding), got 4");
  cases.reject("pad type", with({1, 3, 4}, {2}, "none"), "pad_type: expected 'valid', 'same'");
  cases.reject("ceil_mode and same", with({1, 3, 4}, {2}, "same", {{"ceil_mode", yes}}),
               "ceil_mode: expected false with pad_type 'same', got true");
  cases.reject("ceil_mode and uneven padding",
               with({1, 3, 4}, {2}, "custom", {{"ceil_mode", yes}, {"pad", ints({0, 1})}}),
               "pad: expected equal padding at both ends with ceil_mode, got 0 and 1");
  cases.reject(
      "integers",
      {{"x", ints({1, 2})}, {"kernel_sizes", ints({1})}, {"pad_type", cases.text("valid")}},
      "x: expected a float dtype, got int32");
}

}  // namespace

OP_CASES(avg_pool) {
  add_windows(*this);
  add("3-D", {{"x", normal({1, 2, 3, 4, 5})},
              {"kernel_sizes", ints({2, 2, 3})},
              {"pad_type", text("same")}})
      .tolerance(Kind::kReduction);
  for (const char* type : {"same", "same_lower", "custom"}) {
    add(std::string("padding not counted, ") + type, {{"x", normal({1, 2, 5, 4})},
                                                      {"kernel_sizes", ints({3, 2})},
                                                      {"pad_type", text(type)},
                                                      {"pad", ints({1, 2, 1, 0})},
                                                      {"exclude_padding_from_average", flag(true)}})
        .tolerance(Kind::kReduction);
  }
  add("padding alone gives 0", {{"x", values({2, 4}, {1, 1, 2})},
                                {"kernel_sizes", ints({1})},
                                {"pad_type", text("custom")},
                                {"pad", ints({1, 0})},
                                {"exclude_padding_from_average", flag(true)}})
      .expect({values({0, 2, 4}, {1, 1, 3})});
  reference([](const OpCase& c) {
    const bool exclude =
        c.has("exclude_padding_from_average") && c.ints("exclude_padding_from_average")[0] != 0;
    return pooled(c, [&](const std::vector<double>& elements, double padded) {
      double sum = 0;
      for (const double value : elements) sum += value;
      return sum / (exclude ? static_cast<double>(elements.size()) : padded);
    });
  });
}

OP_CASES(max_pool) {
  add_windows(*this);
  add("3-D", {{"x", normal({1, 2, 3, 4, 5})},
              {"kernel_sizes", ints({2, 2, 3})},
              {"pad_type", text("same")}})
      .tolerance(Kind::kExact);
  add("the first of equal ones wins", {{"x", values({3, 3, 1, 3, 2, 2}, {1, 1, 6})},
                                       {"kernel_sizes", ints({3})},
                                       {"strides", ints({2})},
                                       {"pad_type", text("custom")},
                                       {"pad", ints({1, 1})}})
      .expect({values({3, 3, 3}, {1, 1, 3})});
  add("padding never wins", {{"x", values({-2, -4}, {1, 1, 2})},
                             {"kernel_sizes", ints({2})},
                             {"pad_type", text("custom")},
                             {"pad", ints({1, 1})}})
      .expect({values({-2, -2, -4}, {1, 1, 3})});
  add("NaN wins", {{"x", values({1, NAN, 2, 3}, {1, 1, 4})},
                   {"kernel_sizes", ints({2})},
                   {"pad_type", text("valid")}})
      .expect({values({NAN, NAN, 3}, {1, 1, 3})});
  reference([](const OpCase& c) {
    return pooled(c, [](const std::vector<double>& elements, double /*padded*/) {
      return *std::max_element(elements.begin(), elements.end());
    });
  });
}

OP_CASES(l2_pool) {
  add_windows(*this);
  add("nothing but zeros", {{"x", values({0, 0, 3, 4, 0}, {1, 1, 5})},
                            {"kernel_sizes", ints({2})},
                            {"pad_type", text("valid")}})
      .expect({values({0, 3, 5, 4}, {1, 1, 4})});
  reject("rank 5",
         {{"x", normal({1, 1, 2, 2, 2})},
          {"kernel_sizes", ints({1, 1, 1})},
          {"pad_type", text("valid")}},
         "x: expected rank 3 to 4, got shape [1, 1, 2, 2, 2]");
  reference([](const OpCase& c) {
    return pooled(c, [](const std::vector<double>& elements, double /*padded*/) {
      double sum = 0;
      for (const double value : elements) sum += value * value;
      return std::sqrt(sum);
    });
  });
}

}  // namespace mw::ops
