// Cases for mw.conv_weight_gradient.
#include <gtest/gtest.h>

#include "ops/op_case.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

int64_t flat(const Shape& shape, const std::vector<int64_t>& index) {
  int64_t at = 0;
  for (size_t i = 0; i < shape.size(); ++i) at = at * shape[i] + index[i];
  return at;
}

// Every element of the weight, and for it every position of the window, one by one.
std::vector<Tensor> reference_gradient(const OpCase& c) {
  const Tensor &x = c["x"], &y = c["y_grad"];
  const auto axes = static_cast<size_t>(x.rank() - 2);
  const auto list = [&](const char* input, int64_t otherwise) {
    return c.has(input) ? c.ints(input) : std::vector<int64_t>(axes, otherwise);
  };
  const auto strides = list("strides", 1), dilations = list("dilations", 1);
  const auto before = list("before", 0);
  const int64_t groups = c.has("groups") ? c.ints("groups")[0] : 1;
  Shape shape{y.dim(1), x.dim(1) / groups};
  for (const int64_t extent : c.ints("kernel_sizes")) shape.push_back(extent);
  Tensor result(DType::kF64, shape);
  for (Walk<0> w(shape, {}); !w.done(); w.next()) {
    const int64_t output = w.index()[0], group = output / (y.dim(1) / groups);
    double sum = 0;
    for (Walk<0> p(y.shape(), {}); !p.done(); p.next()) {
      if (p.index()[1] != output) continue;
      std::vector<int64_t> from{p.index()[0], group * shape[1] + w.index()[1]};
      bool inside = true;
      for (size_t i = 0; i < axes; ++i) {
        from.push_back(p.index()[i + 2] * strides[i] - before[i] + w.index()[i + 2] * dilations[i]);
        inside = inside && from.back() >= 0 && from.back() < x.shape()[i + 2];
      }
      if (inside) sum += y.number_at(p.flat()) * x.number_at(flat(x.shape(), from));
    }
    result.set_number(w.flat(), sum);
  }
  return {result};
}

}  // namespace

MW_OWN_OP_CASES(conv_weight_gradient) {
  const auto kind = Kind::kReduction;
  using Inputs = std::vector<CaseInput>;
  const auto with = [&](const Shape& x, const Shape& y, const std::vector<int64_t>& kernel,
                        Inputs more = {}) {
    Inputs inputs{{"x", normal(x)}, {"y_grad", normal(y)}, {"kernel_sizes", ints(kernel)}};
    inputs.insert(inputs.end(), more.begin(), more.end());
    return inputs;
  };
  add("1-D", with({2, 3, 9}, {2, 4, 7}, {3})).tolerance(kind);
  add("2-D", with({2, 3, 5, 6}, {2, 2, 3, 5}, {3, 2})).tolerance(kind);
  add("3-D", with({1, 2, 3, 4, 3}, {1, 2, 2, 3, 3}, {2, 2, 1})).tolerance(kind);
  add("strides, a rest of x that no window reaches",
      with({2, 1, 8, 9}, {2, 2, 3, 3}, {3, 2}, {{"strides", ints({2, 3})}}))
      .tolerance(kind);
  add("dilations", with({1, 2, 7, 6}, {1, 2, 3, 3}, {3, 2}, {{"dilations", ints({2, 3})}}))
      .tolerance(kind);
  add("padding, more than x has",
      with({2, 2, 3, 4}, {2, 3, 4, 5}, {3, 3}, {{"before", ints({2, 1})}}))
      .tolerance(kind);
  add("everything at once", with({2, 4, 6, 7}, {2, 6, 4, 3}, {2, 3},
                                 {{"strides", ints({2, 3})},
                                  {"before", ints({1, 2})},
                                  {"dilations", ints({2, 1})},
                                  {"groups", integer(2)}}))
      .tolerance(kind);
  add("a group per channel", with({2, 3, 5}, {2, 3, 4}, {2}, {{"groups", integer(3)}}))
      .tolerance(kind);
  add("two results per channel", with({2, 3, 5}, {2, 6, 4}, {2}, {{"groups", integer(3)}}))
      .tolerance(kind);
  add("more columns than a panel", with({1, 3, 7, 7}, {1, 2, 4, 4}, {4, 4})).tolerance(kind);
  add("no batch", with({0, 2, 5}, {0, 3, 4}, {2}));
  add("no positions", with({1, 2, 5}, {1, 3, 0}, {2}));
  reject("rank", with({2, 3}, {2, 3}, {}), "x: expected rank 3 to 5");
  reject("ranks", with({2, 3, 4}, {2, 3, 4, 5}, {2}), "y_grad: expected rank 3");
  reject("batch", with({2, 3, 4}, {1, 3, 4}, {2}), "y_grad: expected a batch of 2 as x has, got 1");
  reject("groups", with({2, 3, 4}, {2, 4, 3}, {2}, {{"groups", integer(2)}}),
         "groups: expected a divisor of 3 channels, got 2");
  reject("no groups", with({2, 3, 4}, {2, 4, 3}, {2}, {{"groups", integer(0)}}),
         "groups: expected 1 or more, got 0");
  reject("kernel", with({2, 3, 4}, {2, 4, 3}, {2, 2}), "kernel_sizes: expected 1 values, got 2");
  reject("no kernel", with({2, 3, 4}, {2, 4, 3}, {0}), "kernel_sizes: expected values in [1,");
  reference(reference_gradient);
}

}  // namespace mw::ops
