// Checks and values of normalisation parameters.
#include "ops/norm/norm.h"

namespace mw::ops {

void expect_parameters(const OpView& op, std::initializer_list<std::string_view> inputs,
                       const Shape& shape) {
  for (const std::string_view input : inputs) {
    if (!op.has(input)) continue;
    expect_float(op, input);
    expect_shape(op, input, shape);
  }
}

std::vector<double> parameter(Eval& e, std::string_view input, int64_t count, double fallback) {
  std::vector<double> values(static_cast<size_t>(count), fallback);
  if (!e.has(input)) return values;
  const Tensor& tensor = e.in(input);
  for (size_t i = 0; i < values.size(); ++i) values[i] = tensor.number_at(static_cast<int64_t>(i));
  return values;
}

namespace {

Expr mean_over(const Expr& x, const std::vector<int64_t>& axes) {
  return x.op("reduce_mean", {{"axes", axes}, {"keep_dims", true}});
}

// Adds `gradient`, of the shape of x, to that of a parameter that meets x in the shape `affine`.
void add_affine(Vjp& v, std::string_view input, const Expr& gradient, const Shape& affine) {
  std::vector<int64_t> repeated;
  for (size_t i = 0; i < affine.size(); ++i) {
    if (affine[i] != gradient.shape()[i]) repeated.push_back(static_cast<int64_t>(i));
  }
  const Expr sum = repeated.empty() ? gradient : reduce_sum(gradient, repeated, true);
  contribute(v, input, reshape(sum, v.shape(input)));
}

}  // namespace

void standardised_rule(Vjp& v, const std::vector<int64_t>& axes, const Shape& affine) {
  const Expr g = grad(v), x = operand(v, "x");
  if (count_of(x.shape()) == 0) return;
  if (v.wants("beta")) add_affine(v, "beta", g, affine);
  // A single element is its own mean: n is 0 whatever x is.
  int64_t count = 1;
  for (const int64_t axis : axes) count *= x.shape()[static_cast<size_t>(axis)];
  if (count == 1 || (!v.wants("x") && !v.wants("gamma"))) return;
  const Expr centred = x - mean_over(x, axes);
  const Expr rstd =
      mean_over(square(centred), axes).op("rsqrt", {x.number("epsilon", v.number("epsilon"))});
  const Expr n = centred * rstd;
  if (v.wants("gamma")) add_affine(v, "gamma", g * n, affine);
  if (!v.wants("x")) return;
  const Expr of_n = v.has("gamma") ? g * reshape(operand_as(v, "gamma", x), affine) : g;
  const Expr along_n = mean_over(of_n * centred, axes) * rstd;
  v.add("x", rstd * (of_n - mean_over(of_n, axes) - n * along_n));
}

}  // namespace mw::ops
