// Cases for the normalisations.
#include <gtest/gtest.h>

#include <cmath>

#include "ops/op_case.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

// Mean and variance of the elements of x that share `key(index)`, in two passes; then
// y = (x - mean) / sqrt(variance + epsilon).
Tensor normalised(const Tensor& x, double epsilon,
                  const std::function<int64_t(const std::vector<int64_t>&)>& key) {
  std::map<int64_t, double> count, mean, variance;
  Tensor y = x.clone();
  for (Walk<0> w(x.shape(), {}); !w.done(); w.next()) {
    count[key(w.index())] += 1;
    mean[key(w.index())] += x.number_at(w.flat());
  }
  for (auto& [k, value] : mean) value /= count[k];
  for (Walk<0> w(x.shape(), {}); !w.done(); w.next()) {
    const int64_t k = key(w.index());
    variance[k] += std::pow(x.number_at(w.flat()) - mean[k], 2) / count[k];
  }
  for (Walk<0> w(x.shape(), {}); !w.done(); w.next()) {
    const int64_t k = key(w.index());
    y.set_number(w.flat(), (x.number_at(w.flat()) - mean[k]) / std::sqrt(variance[k] + epsilon));
  }
  return y;
}

// y * gamma + beta, both indexed by the axes of x in `axes`.
Tensor scaled(const OpCase& c, Tensor y, const std::vector<int64_t>& axes) {
  for (Walk<0> w(y.shape(), {}); !w.done(); w.next()) {
    int64_t at = 0;
    for (size_t i = 0; i < w.index().size(); ++i) {
      const bool in = std::find(axes.begin(), axes.end(), static_cast<int64_t>(i)) != axes.end();
      if (in) at = at * y.shape()[i] + w.index()[i];
    }
    double value = y.number_at(w.flat());
    if (c.has("gamma")) value *= c["gamma"].number_at(at);
    if (c.has("beta")) value += c["beta"].number_at(at);
    y.set_number(w.flat(), value);
  }
  return y;
}

}  // namespace

OP_CASES(layer_norm) {
  const auto x = normal({2, 3, 5});
  const auto kind = Kind::kReduction;
  add("last axis", {{"x", x}, {"axes", ints({-1})}, {"gamma", normal({5})}, {"beta", normal({5})}})
      .tolerance(kind);
  add("two axes", {{"x", x}, {"axes", ints({1, 2})}, {"gamma", normal({3, 5})}}).tolerance(kind);
  add("axes apart and unsorted",
      {{"x", x}, {"axes", ints({2, 0})}, {"gamma", normal({2, 5})}, {"beta", normal({2, 5})}})
      .tolerance(kind);
  add("all axes, no affine", {{"x", x}}).tolerance(kind);
  add("rows without variance", {{"x", values({1, 2, 4, 3, 3, 3}, {2, 3})},
                                {"axes", ints({1})},
                                {"gamma", values({1, -2, 3}, {3})},
                                {"beta", values({1, 2, 3}, {3})},
                                {"epsilon", number(0.25)}})
      .tolerance(kind);
  add("offset alone", {{"x", x}, {"axes", ints({1})}, {"beta", normal({3})}}).tolerance(kind);
  add("one element per row", {{"x", normal({4, 1})}, {"axes", ints({1})}, {"beta", normal({1})}})
      .tolerance(kind);
  add("a scalar", {{"x", number(3)}}).expect({number(0)});
  add("no axes", {{"x", normal({2})}, {"axes", ints({})}}).tolerance(kind);
  // The variance of numbers near 1e4 loses four digits to the rounding of the inputs.
  add("large mean", {{"x", normal({3, 64}, 1e4)}, {"axes", ints({1})}, {"epsilon", number(1e-3)}})
      .tolerance(kind)
      .only({DType::kF64, DType::kF32});
  add("large values", {{"x", values({3e4, -3e4, 6e4, 1e4}, {1, 4})}, {"axes", ints({1})}})
      .tolerance(kind);
  add("no rows", {{"x", normal({0, 5})}, {"axes", ints({1})}, {"gamma", normal({5})}});
  add("empty rows", {{"x", normal({5, 0})}, {"axes", ints({1})}});
  add("at iOS15", {{"x", x}, {"axes", ints({-1})}, {"gamma", normal({5})}})
      .tolerance(kind)
      .at(Opset::kIos15);
  add("gamma and beta computed at run time",
      {{"x", x}, {"axes", ints({-1})}, {"gamma", normal({5})}, {"beta", normal({5})}})
      .tolerance(kind)
      .constant({"axes"});
  reject("axis too large", {{"x", normal({2})}, {"axes", ints({5})}},
         "axes: expected values in [-1, 0], got 5");
  reject("axis twice", {{"x", normal({2, 2})}, {"axes", ints({1, -1})}}, "axes: expected distinct");
  reject("gamma", {{"x", normal({2, 3})}, {"axes", ints({1})}, {"gamma", normal({2})}},
         "gamma: expected shape [3], got [2]");
  reject("beta", {{"x", normal({2, 3})}, {"axes", ints({1})}, {"beta", normal({3, 1})}},
         "beta: expected shape [3], got [3, 1]");
  reject("integers", {{"x", ints({1, 2})}}, "x: expected a float dtype, got int32");
  reject("integer gamma", {{"x", normal({2})}, {"gamma", ints({1, 2})}},
         "gamma: expected a float dtype, got int32");
  reject("epsilon of two numbers", {{"x", normal({2})}, {"epsilon", values({1, 2}, {2})}},
         "epsilon: expected one number");
  reference([](const OpCase& c) {
    const Tensor& x = c["x"];
    std::vector<int64_t> axes;
    for (int64_t i = 0; i < x.rank(); ++i) axes.push_back(i);
    if (c.has("axes")) axes = c.ints("axes");
    for (int64_t& axis : axes) axis = axis < 0 ? axis + x.rank() : axis;
    const Tensor n = normalised(x, c.number("epsilon", 1e-5), [&](std::vector<int64_t> index) {
      for (const int64_t axis : axes) index[static_cast<size_t>(axis)] = 0;
      int64_t key = 0;
      for (const int64_t i : index) key = key * 1000 + i;
      return key;
    });
    return std::vector<Tensor>{scaled(c, n, axes)};
  });
}

OP_CASES(batch_norm) {
  const auto kind = Kind::kReduction;
  const auto with = [&](const Shape& shape, int64_t channels) {
    return std::vector<CaseInput>{{"x", normal(shape)},
                                  {"mean", normal({channels})},
                                  {"variance", uniform({channels}, 0.5, 2)}};
  };
  const auto affine = [&](std::vector<CaseInput> inputs, int64_t channels) {
    inputs.push_back({"gamma", normal({channels})});
    inputs.push_back({"beta", normal({channels})});
    return inputs;
  };
  add("rank 2, affine", affine(with({4, 3}, 3), 3)).tolerance(kind);
  add("rank 3", with({2, 3, 4}, 3)).tolerance(kind);
  add("rank 4, affine", affine(with({2, 3, 2, 2}, 3), 3)).tolerance(kind);
  add("rank 5, affine", affine(with({1, 2, 2, 2, 3}, 2), 2)).tolerance(kind);
  add("at iOS15", affine(with({2, 3, 2, 2}, 3), 3)).tolerance(kind).at(Opset::kIos15);
  add("a zero variance", {{"x", values({3, 5}, {1, 2, 1})},
                          {"mean", values({1, 5}, {2})},
                          {"variance", values({0, 0}, {2})},
                          {"epsilon", number(0.25)}})
      .expect({values({4, 0}, {1, 2, 1})});
  add("nothing", with({0, 3, 4}, 3));
  add("parameters computed at run time", affine(with({2, 3, 2, 2}, 3), 3))
      .tolerance(kind)
      .constant({"none"});
  reject("rank 1", with({3}, 3), "x: expected rank 2 to 16, got shape [3]");
  reject("channels", with({2, 4, 3}, 3), "mean: expected shape [4], got [3]");
  reject("gamma", affine(with({2, 3, 2}, 3), 2), "gamma: expected shape [3], got [2]");
  reject("integers",
         {{"x", ints({1, 2}, {1, 2})}, {"mean", normal({2})}, {"variance", normal({2})}},
         "x: expected a float dtype");
  reference([](const OpCase& c) {
    Tensor y = c["x"].clone();
    const int64_t channels = y.dim(1), inner = y.count() == 0 ? 1 : y.count() / y.dim(0) / channels;
    for (int64_t i = 0; i < y.count(); ++i) {
      const int64_t k = i / inner % channels;
      y.set_number(i, (y.number_at(i) - c["mean"].number_at(k)) /
                          std::sqrt(c["variance"].number_at(k) + c.number("epsilon", 1e-5)));
    }
    return std::vector<Tensor>{scaled(c, y, {1})};
  });
}

OP_CASES(instance_norm) {
  const auto kind = Kind::kReduction;
  add("rank 3", {{"x", normal({2, 3, 7})}}).tolerance(kind);
  add("rank 4, affine",
      {{"x", normal({2, 3, 4, 5})}, {"gamma", normal({3})}, {"beta", normal({3})}})
      .tolerance(kind);
  add("epsilon", {{"x", normal({1, 2, 3, 3})}, {"epsilon", number(0.5)}}).tolerance(kind);
  add("one element", {{"x", normal({2, 3, 1})}, {"beta", normal({3})}}).tolerance(kind);
  add("at iOS15", {{"x", normal({2, 3, 7})}, {"gamma", normal({3})}})
      .tolerance(kind)
      .at(Opset::kIos15);
  add("no spatial extent", {{"x", normal({2, 3, 0})}});
  reject("rank 2", {{"x", normal({2, 3})}}, "x: expected rank 3 to 16, got shape [2, 3]");
  reject("gamma", {{"x", normal({2, 3, 4})}, {"gamma", normal({4})}},
         "gamma: expected shape [3], got [4]");
  reject("integers", {{"x", ints({1, 2}, {1, 1, 2})}}, "x: expected a float dtype");
  reference([](const OpCase& c) {
    const Tensor n = normalised(c["x"], c.number("epsilon", 1e-5),
                                [](const auto& index) { return index[0] * 1000 + index[1]; });
    return std::vector<Tensor>{scaled(c, n, {1})};
  });
}

OP_CASES(l2_norm) {
  const auto kind = Kind::kReduction;
  add("rank 3", {{"x", normal({2, 3, 4})}}).tolerance(kind);
  add("rank 5", {{"x", normal({2, 2, 2, 3, 4})}, {"epsilon", number(0.1)}}).tolerance(kind);
  add("three and four", {{"x", values({3, 4}, {1, 1, 2})}, {"epsilon", number(0)}})
      .expect({values({0.6, 0.8}, {1, 1, 2})});
  add("zeros stay zeros", {{"x", values({0, 0}, {1, 2, 1})}}).expect({values({0, 0}, {1, 2, 1})});
  add("at iOS15", {{"x", normal({1, 2, 3, 4})}}).tolerance(kind).at(Opset::kIos15);
  add("nothing", {{"x", normal({2, 0, 3, 4})}});
  reject("rank 2", {{"x", normal({2, 3})}}, "x: expected rank 3 to 16, got shape [2, 3]");
  reject("integers", {{"x", ints({1, 2}, {1, 1, 2})}}, "x: expected a float dtype");
  reference([](const OpCase& c) {
    Tensor y = c["x"].clone();
    if (y.count() == 0) return std::vector<Tensor>{y};
    const int64_t inner = y.dim(-1) * y.dim(-2) * y.dim(-3);
    std::vector<double> sums(static_cast<size_t>(y.count() / inner), c.number("epsilon", 1e-6));
    for (int64_t i = 0; i < y.count(); ++i) {
      sums[static_cast<size_t>(i / inner)] += std::pow(y.number_at(i), 2);
    }
    for (int64_t i = 0; i < y.count(); ++i) {
      y.set_number(i, y.number_at(i) / std::sqrt(sums[static_cast<size_t>(i / inner)]));
    }
    return std::vector<Tensor>{y};
  });
}

OP_CASES(local_response_norm) {
  const auto kind = Kind::kReduction;
  const auto size = [&](int64_t n) { return CaseInput("size", integer(n)); };
  add("odd size", {{"x", normal({2, 6, 3, 1})}, size(3)}).tolerance(kind);
  add("a steep slope",
      {{"x", normal({2, 5, 2, 1})}, size(3), {"alpha", number(2)}, {"beta", number(1.5)}})
      .tolerance(kind);
  add("even size reaches further back",
      {{"x", normal({1, 6, 2, 2})}, size(4), {"alpha", number(2)}})
      .tolerance(kind);
  add("larger than the channels", {{"x", normal({1, 3, 2, 2})}, size(100), {"k", number(2)}})
      .tolerance(kind);
  add("one", {{"x", normal({1, 3, 2, 2})}, size(1), {"alpha", number(1)}, {"beta", number(0.5)}})
      .tolerance(kind);
  add("exact",
      {{"x", values({1, 2, 2}, {1, 3, 1, 1})}, size(2), {"alpha", number(2)}, {"beta", number(1)}})
      .expect({values({0.5, 2.0 / 6, 2.0 / 9}, {1, 3, 1, 1})});
  add("at iOS15", {{"x", normal({2, 6, 3, 2})}, size(3)}).tolerance(kind).at(Opset::kIos15);
  add("nothing", {{"x", normal({2, 0, 3, 1})}, size(3)});
  add("rank 3 has its channels first",
      {{"x", values({1, 2, 2}, {3, 1, 1})}, size(2), {"alpha", number(2)}, {"beta", number(1)}})
      .expect({values({0.5, 2.0 / 6, 2.0 / 9}, {3, 1, 1})});
  reject("size", {{"x", normal({2, 6, 3, 2})}, size(0)}, "size: expected 1 or more, got 0");
  reject("rank", {{"x", normal({2, 3})}, size(1)}, "x: expected rank 3 to 16");
  reject("integers", {{"x", ints({1, 2}, {1, 2, 1, 1})}, size(1)}, "x: expected a float dtype");
  reference([](const OpCase& c) {
    const Tensor& x = c["x"];
    Tensor y = x.clone();
    const int64_t n = c.ints("size")[0], before = n / 2;
    const std::vector<int64_t> strides = strides_of(x.shape());
    for (Walk<0> w(x.shape(), {}); !w.done(); w.next()) {
      double sum = 0;
      for (int64_t k = 0; k < n; ++k) {
        const int64_t channel = w.index()[1] - before + k;
        if (channel < 0 || channel >= x.dim(1)) continue;
        sum += std::pow(x.number_at(w.flat() + (channel - w.index()[1]) * strides[1]), 2);
      }
      const double base = c.number("k", 1) + c.number("alpha", 1e-4) * sum / static_cast<double>(n);
      y.set_number(w.flat(), x.number_at(w.flat()) / std::pow(base, c.number("beta", 0.75)));
    }
    return std::vector<Tensor>{y};
  });
}

}  // namespace mw::ops
