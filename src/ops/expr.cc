// Expr: one MIL op per operator.
#include "ops/expr.h"

#include "base/error.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

Expr binary(std::string_view type, const Expr& a, const Expr& b) {
  return {a.builder(), a.builder().op(type, {{"x", a.value()}, {"y", b.value()}})};
}
Expr binary(std::string_view type, const Expr& a, double b) {
  return {a.builder(), a.builder().op(type, {{"x", a.value()}, a.number("y", b)})};
}
Expr binary(std::string_view type, double a, const Expr& b) {
  return {b.builder(), b.builder().op(type, {b.number("x", a), {"y", b.value()}})};
}

Expr choose(const Expr& flag, const Argument& a, const Argument& b) {
  return {flag.builder(), flag.builder().op("select", {{"cond", flag.value()}, a, b})};
}

Value* add_values(Builder& b, Value* x, Value* y) { return b.op("add", {{"x", x}, {"y", y}}); }

Value* sum_to(Builder& b, Value* x, const Shape& shape) {
  const Shape& from = x->type.shape();
  MW_CHECK(from.size() >= shape.size());
  const size_t extra = from.size() - shape.size();
  std::vector<int64_t> axes;
  for (size_t i = 0; i < from.size(); ++i) {
    const bool repeated = i < extra || (shape[i - extra] == 1 && from[i] != 1);
    MW_CHECK(repeated || from[i] == shape[i - extra]);
    if (repeated) axes.push_back(static_cast<int64_t>(i));
  }
  Expr sum(b, x);
  if (!axes.empty()) sum = reduce_sum(sum, axes, true);
  return reshape(sum, shape);
}

Value* filled_value(Builder& b, const Type& type, double value) {
  const ConstantPtr number = Constant::number(type.dtype(), value);
  if (type.rank() == 0) return b.constant(number);
  return b.op("fill", {{"shape", type.shape()}, {"value", number}});
}

}  // namespace

Expr operator+(const Expr& a, const Expr& b) { return binary("add", a, b); }
Expr operator+(const Expr& a, double b) { return binary("add", a, b); }
Expr operator+(double a, const Expr& b) { return binary("add", a, b); }
Expr operator-(const Expr& a, const Expr& b) { return binary("sub", a, b); }
Expr operator-(const Expr& a, double b) { return binary("sub", a, b); }
Expr operator-(double a, const Expr& b) { return binary("sub", a, b); }
Expr operator-(const Expr& a) { return binary("mul", a, -1); }
Expr operator*(const Expr& a, const Expr& b) { return binary("mul", a, b); }
Expr operator*(const Expr& a, double b) { return binary("mul", a, b); }
Expr operator*(double a, const Expr& b) { return binary("mul", a, b); }
Expr operator/(const Expr& a, const Expr& b) { return binary("real_div", a, b); }
Expr operator/(const Expr& a, double b) { return binary("real_div", a, b); }
Expr operator/(double a, const Expr& b) { return binary("real_div", a, b); }
Expr operator>(const Expr& a, const Expr& b) { return binary("greater", a, b); }
Expr operator>(const Expr& a, double b) { return binary("greater", a, b); }
Expr operator>=(const Expr& a, const Expr& b) { return binary("greater_equal", a, b); }
Expr operator>=(const Expr& a, double b) { return binary("greater_equal", a, b); }
Expr operator<(const Expr& a, const Expr& b) { return binary("less", a, b); }
Expr operator<(const Expr& a, double b) { return binary("less", a, b); }
Expr operator<=(const Expr& a, const Expr& b) { return binary("less_equal", a, b); }
Expr operator<=(const Expr& a, double b) { return binary("less_equal", a, b); }
Expr equal(const Expr& a, const Expr& b) { return binary("equal", a, b); }
Expr not_equal(const Expr& a, double b) { return binary("not_equal", a, b); }

Expr exp(const Expr& x) { return x.op("exp"); }
Expr log(const Expr& x) { return x.op("log", {x.number("epsilon", 0)}); }
Expr sqrt(const Expr& x) { return x.op("sqrt"); }
Expr square(const Expr& x) { return x.op("square"); }
Expr tanh(const Expr& x) { return x.op("tanh"); }
Expr sigmoid(const Expr& x) { return x.op("sigmoid"); }
Expr pow(const Expr& x, double exponent) { return binary("pow", x, exponent); }

Expr maximum(const Expr& x, double y) { return binary("maximum", x, y); }
Expr minimum(const Expr& x, double y) { return binary("minimum", x, y); }
Expr minimum(const Expr& x, const Expr& y) { return binary("minimum", x, y); }
Expr sign(const Expr& x) { return x.op("sign"); }
// Slices of the first axis apart from one another: a sum over all axes is one long row to a plan,
// which one thread walks and whose terms have to fit in memory.
Expr sum_of_squares(const Expr& x) {
  std::vector<int64_t> axes;
  for (size_t i = 0; i < x.shape().size(); ++i) axes.push_back(static_cast<int64_t>(i));
  if (axes.empty()) return square(x);
  const std::vector<int64_t> inner(axes.size() > 1 ? axes.begin() + 1 : axes.begin(), axes.end());
  const Expr slices = x.op("reduce_sum_square", {{"axes", inner}, {"keep_dims", true}});
  return reduce_sum(slices, axes, false);
}
Expr as_number(const Expr& flag, const Expr& like) { return as(flag, like.dtype()); }
Expr select(const Expr& flag, const Expr& a, const Expr& b) {
  return choose(flag, {"a", a.value()}, {"b", b.value()});
}
Expr select(const Expr& flag, const Expr& a, double b) {
  return choose(flag, {"a", a.value()}, a.number("b", b));
}
Expr select(const Expr& flag, double a, const Expr& b) {
  return choose(flag, b.number("a", a), {"b", b.value()});
}
Expr reduce_mean(const Expr& x, int64_t axis) {
  return x.op("reduce_mean", {{"axes", std::vector<int64_t>{axis}}, {"keep_dims", true}});
}
Expr reduce_sum(const Expr& x, const std::vector<int64_t>& axes, bool keep_dims) {
  return x.op("reduce_sum", {{"axes", axes}, {"keep_dims", keep_dims}});
}
Expr repeat_to(const Expr& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  if (count_of(shape) == 0) return filled(x.builder(), Type::tensor(x.dtype(), shape), 0);
  MW_CHECK(x.shape().size() == shape.size());
  std::vector<int64_t> times(shape.size(), 1);
  for (size_t i = 0; i < shape.size(); ++i) {
    MW_CHECK(x.shape()[i] == 1 || x.shape()[i] == shape[i]);
    if (x.shape()[i] == 1) times[i] = shape[i];
  }
  return x.op("tile", {{"reps", times}});
}
Expr as(const Expr& x, DType dtype) {
  return x.dtype() == dtype ? x : x.op(kCastOp, {{"dtype", std::string(name_of(dtype))}});
}
Expr reshape(const Expr& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  // An extent of 0 would mean "as in x".
  if (count_of(shape) == 0) return filled(x.builder(), Type::tensor(x.dtype(), shape), 0);
  return x.op("reshape", {{"shape", shape}});
}
Expr transpose(const Expr& x, const std::vector<int64_t>& perm) {
  return x.op("transpose", {{"perm", perm}});
}
Expr matmul(const Expr& x, const Expr& y, bool transpose_x, bool transpose_y) {
  return x.op("matmul",
              {{"y", y.value()}, {"transpose_x", transpose_x}, {"transpose_y", transpose_y}});
}
std::vector<Expr> split(const Expr& x, int64_t axis, int64_t parts) {
  if (parts == 1) return {x};
  Builder& b = x.builder();
  std::vector<Expr> results;
  for (Value* part :
       b.op_results("split", {{"x", x.value()}, {"num_splits", parts}, {"axis", axis}})) {
    results.emplace_back(b, part);
  }
  return results;
}
Expr concat(const std::vector<Expr>& parts, int64_t axis) {
  if (parts.size() == 1) return parts[0];
  const std::vector<Value*> values(parts.begin(), parts.end());
  Builder& b = parts[0].builder();
  return {b, b.op("concat", {{"values", values}, {"axis", axis}})};
}
Expr along_axis(const Expr& vector, int64_t axis, int64_t rank) {
  Shape shape(static_cast<size_t>(rank), 1);
  shape[static_cast<size_t>(axis)] = vector.shape()[0];
  return reshape(vector, shape);
}
Expr sum_but(const Expr& x, int64_t axis) {
  std::vector<int64_t> axes;
  for (int64_t i = 0; i < static_cast<int64_t>(x.shape().size()); ++i) {
    if (i != axis) axes.push_back(i);
  }
  return axes.empty() ? x : reduce_sum(x, axes, false);
}
Expr filled(Builder& builder, const Type& type, double value) {
  return {builder, filled_value(builder, type, value)};
}

Expr read_parameter(Builder& builder, Value* state, std::string_view name) {
  return {builder, builder.op("mw.read_state", {{"input", state}}, name)};
}
void write_parameter(const Expr& value, Value* state) {
  value.builder().op_results("mw.write_state", {{"input", state}, {"data", value.value()}});
}

Expr operand(Builder& builder, const OpView& op, std::string_view input, size_t index) {
  const Operand& found = op.operand(input, index);
  return {builder, found.value != nullptr ? found.value : builder.constant(found.literal, input)};
}
Expr operand(const Vjp& v, std::string_view input, size_t index) {
  return {v.builder(), v.in(input, index)};
}
Expr result(const Vjp& v, size_t index) { return {v.builder(), v.out(index)}; }
Expr grad(const Vjp& v, size_t index) {
  MW_CHECK(v.grad(index) != nullptr);
  return {v.builder(), v.grad(index)};
}
Expr operand_as(const Vjp& v, std::string_view input, const Expr& like) {
  return as(operand(v, input), like.dtype());
}
void contribute(Vjp& v, std::string_view input, const Expr& gradient) {
  if (v.wants(input)) v.add(input, as(gradient, v.dtype(input)));
}
Expr grad_or_zeros(const Vjp& v, size_t index) {
  if (v.grad(index) != nullptr) return grad(v, index);
  return filled(v.builder(), v.out(index)->type, 0);
}

OpDef::VjpRule slope(const std::function<Expr(const Expr&, const Expr&)>& formula) {
  return [formula](Vjp& v) { v.add("x", grad(v) * formula(operand(v, "x"), result(v))); };
}
OpDef::VjpRule slope_of(const std::function<Expr(const Vjp&, const Expr&, const Expr&)>& formula) {
  return [formula](Vjp& v) { v.add("x", grad(v) * formula(v, operand(v, "x"), result(v))); };
}
void flat(Vjp& /*v*/) {}

const GradientOps& gradient_ops() {
  static const GradientOps kOps{add_values, sum_to, filled_value};
  return kOps;
}

}  // namespace mw::ops
