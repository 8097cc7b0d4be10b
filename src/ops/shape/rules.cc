// Slices, gathers and their reverses, one or two MIL ops each.
#include "ops/shape/rules.h"

#include <numeric>

#include "ops/support.h"

namespace mw::ops {

std::vector<Argument> same_inputs(const Vjp& v, const std::vector<std::string_view>& names) {
  std::vector<Argument> arguments;
  for (const std::string_view name : names) {
    if (v.has(name)) arguments.emplace_back(name, v.in(name));
  }
  return arguments;
}

Expr constant_like(const Expr& like, const Tensor& tensor) {
  return {like.builder(), like.builder().constant(Constant::tensor(tensor.to(like.dtype())))};
}

Expr integers(Builder& builder, const std::vector<int64_t>& values, const Shape& shape) {
  const Tensor tensor = Tensor::from(values, shape).to(DType::kI32);
  return {builder, builder.constant(Constant::tensor(tensor))};
}

Expr zeros_like(const Expr& like, const Shape& shape) {
  return filled(like.builder(), Type::tensor(like.dtype(), shape), 0);
}

Expr slice(const Expr& x, const std::vector<int64_t>& begin, const Shape& size) {
  if (x.shape() == size) return x;
  return x.op("slice_by_size", {{"begin", begin}, {"size", size}});
}

Expr placed(const Expr& x, const std::vector<int64_t>& begin, const Shape& shape) {
  if (x.shape() == shape) return x;
  std::vector<int64_t> pad;
  for (size_t i = 0; i < shape.size(); ++i) {
    pad.push_back(begin[i]);
    pad.push_back(shape[i] - begin[i] - x.shape()[i]);
  }
  return x.op("pad",
              {{"pad", pad}, {"mode", "constant"}, {"constant_val", Builder::number_like(x, 0)}});
}

Expr gather(const Expr& x, const Expr& indices, int64_t axis) {
  return x.op("gather", {{"indices", indices.value()}, {"axis", axis}});
}

Expr scattered(const Expr& updates, const Expr& indices, int64_t axis, const Shape& shape) {
  Builder& builder = updates.builder();
  return {builder, builder.op("scatter", {{"data", zeros_like(updates, shape).value()},
                                          {"indices", as(indices, DType::kI32).value()},
                                          {"updates", updates.value()},
                                          {"axis", axis},
                                          {"mode", "add"}})};
}

Expr placed_at(const Expr& x, const Expr& first, int64_t axis, int64_t extent) {
  Shape shape = x.shape();
  int64_t& count = shape[static_cast<size_t>(axis)];
  std::vector<int64_t> steps(static_cast<size_t>(count));
  std::iota(steps.begin(), steps.end(), 0);
  const Expr indices =
      count == 1 ? first : first + integers(x.builder(), steps, {static_cast<int64_t>(count)});
  count = extent;
  return scattered(x, indices, axis, shape);
}

Expr element(const Expr& vector, int64_t index) {
  return as(slice(vector, {index}, {1}), DType::kI32);
}

void reshape_back(Vjp& v) { v.add("x", reshape(grad(v), v.shape("x"))); }

Expr sum_for(const Vjp& v, std::string_view input, const Expr& x) {
  std::vector<int64_t> axes(x.shape().size());
  std::iota(axes.begin(), axes.end(), 0);
  const Expr sum = axes.empty() ? x : reduce_sum(x, axes, false);
  return sum.shape() == v.shape(input) ? sum : reshape(sum, v.shape(input));
}

}  // namespace mw::ops
