// layer_norm: y = gamma * n + beta, where n = (x - mean(x)) / sqrt(var(x) + epsilon) over `axes`.
#include <cmath>

#include "base/parallel.h"
#include "ops/matmul/contract.h"
#include "ops/norm/norm.h"

namespace mw::ops {
namespace {

// Which axes of x are normalised; all of them by default.
std::vector<bool> normalised_axes(const OpView& op, int64_t rank) {
  std::vector<bool> selected(static_cast<size_t>(rank), !op.has("axes"));
  if (!op.has("axes")) return selected;
  for (const int64_t axis : op.axes("axes", rank)) selected[static_cast<size_t>(axis)] = true;
  return selected;
}

Type infer(const OpView& op) {
  expect_float(op, "x");
  Type x = op.tensor_type("x");
  const std::vector<bool> selected = normalised_axes(op, x.rank());
  Shape affine;
  for (size_t i = 0; i < selected.size(); ++i) {
    if (selected[i]) affine.push_back(x.shape()[i]);
  }
  expect_parameters(op, {"gamma", "beta"}, affine);
  (void)op.number("epsilon");
  return x;
}

// One group of elements of x: those at `inside` from `x` on.
template <class T>
void normalise(const T* x, T* y, const std::vector<int64_t>& inside,
               const std::vector<double>& gamma, const std::vector<double>& beta, double epsilon) {
  double mean = 0, variance = 0;
  for (const int64_t i : inside) mean += static_cast<double>(x[i]);
  mean /= static_cast<double>(inside.size());
  for (const int64_t i : inside) {
    const double centred = static_cast<double>(x[i]) - mean;
    variance += centred * centred;
  }
  variance /= static_cast<double>(inside.size());
  const double rstd = 1 / std::sqrt(variance + epsilon);
  for (size_t k = 0; k < inside.size(); ++k) {
    const double n = (static_cast<double>(x[inside[k]]) - mean) * rstd;
    y[inside[k]] = static_cast<T>(gamma[k] * n + beta[k]);
  }
}

void evaluate(Eval& e) {
  const Tensor& x = e.in("x");
  Tensor& y = e.out();
  if (y.count() == 0) return;
  const std::vector<bool> selected = normalised_axes(e, x.rank());
  const std::vector<int64_t> strides = strides_of(x.shape());
  Shape shapes[2];
  std::vector<int64_t> strides_apart[2];
  for (size_t i = 0; i < selected.size(); ++i) {
    shapes[selected[i]].push_back(x.shape()[i]);
    strides_apart[selected[i]].push_back(strides[i]);
  }
  const std::vector<int64_t> groups = offsets(shapes[0], strides_apart[0]);
  const std::vector<int64_t> inside = offsets(shapes[1], strides_apart[1]);
  const auto count = static_cast<int64_t>(inside.size());
  const std::vector<double> gamma = parameter(e, "gamma", count, 1);
  const std::vector<double> beta = parameter(e, "beta", count, -0.0);  // adds nothing, to -0 either
  const double epsilon = e.number("epsilon");
  dispatch_float(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    parallel_for(static_cast<int64_t>(groups.size()), 16, [&](int64_t begin, int64_t end) {
      for (int64_t g = begin; g < end; ++g) {
        const int64_t offset = groups[static_cast<size_t>(g)];
        normalise(from + offset, to + offset, inside, gamma, beta, epsilon);
      }
    });
  });
}

void rule(Vjp& v) {
  const Shape x = v.shape("x");
  const std::vector<bool> selected = normalised_axes(v, v.rank("x"));
  std::vector<int64_t> axes;
  Shape affine(x.size(), 1);
  for (size_t i = 0; i < x.size(); ++i) {
    if (!selected[i]) continue;
    axes.push_back(static_cast<int64_t>(i));
    affine[i] = x[i];
  }
  standardised_rule(v, axes, affine);
}

}  // namespace

OpDef layer_norm() {
  return OpDef("layer_norm")
      .types("T", {DType::kF16, DType::kF32})
      .input("x", "T")
      .input("axes", DType::kI32, kConst | kOptional)
      .input("gamma", "T", kConst | kOptional | kWeight)
      .input("beta", "T", kConst | kOptional | kWeight)
      .input("epsilon", "T", kConst | kOptional, 1e-5)
      .since(Opset::kIos17,
             [](OpDef& def) {
               def.types("U", {DType::kF16, DType::kF32}).retype({"gamma", "beta", "epsilon"}, "U");
             })
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
