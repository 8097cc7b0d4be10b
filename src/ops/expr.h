// Expr: formulas of gradient rules, written as formulas.
//
//   const Expr g = grad(v), y = result(v);
//   v.add("x", g * (1.0 - y * y));
//
// Every operator appends one MIL op. Numbers take the dtype of the other operand. Absent inputs
// stand for the op's declared default.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "ir/vjp.h"

namespace mw::ops {

using namespace ir;  // NOLINT(google-build-using-namespace)

class Expr {
 public:
  Expr(Builder& builder, Value* value) : builder_(&builder), value_(value) {}
  operator Value*() const { return value_; }  // NOLINT(google-explicit-constructor)
  [[nodiscard]] Value* value() const { return value_; }
  [[nodiscard]] Builder& builder() const { return *builder_; }
  [[nodiscard]] const Shape& shape() const { return value_->type.shape(); }
  [[nodiscard]] DType dtype() const { return value_->type.dtype(); }
  // A number as an operand beside this one.
  [[nodiscard]] Argument number(std::string_view input, double value) const {
    return {input, Builder::number_like(value_, value)};
  }
  // An op on this value as `x`, and more arguments.
  [[nodiscard]] Expr op(std::string_view type, std::vector<Argument> more = {}) const {
    return op_on("x", type, std::move(more));
  }
  // The same, the input called otherwise.
  [[nodiscard]] Expr op_on(std::string_view input, std::string_view type,
                           std::vector<Argument> more) const {
    more.insert(more.begin(), Argument(input, value_));
    return {*builder_, builder_->op(type, more)};
  }

 private:
  Builder* builder_;
  Value* value_;
};

Expr operator+(const Expr& a, const Expr& b);
Expr operator+(const Expr& a, double b);
Expr operator+(double a, const Expr& b);
Expr operator-(const Expr& a, const Expr& b);
Expr operator-(const Expr& a, double b);
Expr operator-(double a, const Expr& b);
Expr operator-(const Expr& a);
Expr operator*(const Expr& a, const Expr& b);
Expr operator*(const Expr& a, double b);
Expr operator*(double a, const Expr& b);
Expr operator/(const Expr& a, const Expr& b);
Expr operator/(const Expr& a, double b);
Expr operator/(double a, const Expr& b);
// Flags, as tensors of bool.
Expr operator>(const Expr& a, const Expr& b);
Expr operator>(const Expr& a, double b);
Expr operator>=(const Expr& a, const Expr& b);
Expr operator>=(const Expr& a, double b);
Expr operator<(const Expr& a, const Expr& b);
Expr operator<(const Expr& a, double b);
Expr operator<=(const Expr& a, const Expr& b);
Expr operator<=(const Expr& a, double b);
Expr equal(const Expr& a, const Expr& b);
Expr not_equal(const Expr& a, double b);

Expr exp(const Expr& x);
Expr log(const Expr& x);  // exact: nothing is added to x
Expr sqrt(const Expr& x);
Expr square(const Expr& x);
Expr tanh(const Expr& x);
Expr sigmoid(const Expr& x);
Expr pow(const Expr& x, double exponent);
Expr maximum(const Expr& x, double y);
Expr minimum(const Expr& x, double y);
Expr minimum(const Expr& x, const Expr& y);
Expr sign(const Expr& x);
Expr sum_of_squares(const Expr& x);  // over all axes: a scalar
// 1 where the flag is set and 0 elsewhere, in the dtype of `like`.
Expr as_number(const Expr& flag, const Expr& like);
// a where the flag is set, b elsewhere.
Expr select(const Expr& flag, const Expr& a, const Expr& b);
Expr select(const Expr& flag, const Expr& a, double b);
Expr select(const Expr& flag, double a, const Expr& b);
Expr reduce_sum(const Expr& x, const std::vector<int64_t>& axes, bool keep_dims);
Expr reduce_mean(const Expr& x, int64_t axis);  // which stays, with extent 1
// x repeated along axes of extent 1 to `shape`, which has its rank.
Expr repeat_to(const Expr& x, const Shape& shape);
// x itself, or cast.
Expr as(const Expr& x, DType dtype);
// Of no elements: zeros of that shape.
Expr reshape(const Expr& x, const Shape& shape);
Expr transpose(const Expr& x, const std::vector<int64_t>& perm);
// x y, each transposed first where its flag says so.
Expr matmul(const Expr& x, const Expr& y, bool transpose_x = false, bool transpose_y = false);
std::vector<Expr> split(const Expr& x, int64_t axis, int64_t parts);
Expr concat(const std::vector<Expr>& parts, int64_t axis);
// A vector with its elements along one axis of `rank`, as it meets tensors of that rank.
Expr along_axis(const Expr& vector, int64_t axis, int64_t rank);
// The sums over all axes but one: a vector.
Expr sum_but(const Expr& x, int64_t axis);
// Of static type, every element `value`.
Expr filled(Builder& builder, const Type& type, double value);

// Parameters of programs in training: states, read and written whole.
Expr read_parameter(Builder& builder, Value* state, std::string_view name);
void write_parameter(const Expr& value, Value* state);

// Of an expansion: an operand of the op.
Expr operand(Builder& builder, const OpView& op, std::string_view input, size_t index = 0);
// Of a rule: an operand, a result, the gradient of a result (which must be there).
Expr operand(const Vjp& v, std::string_view input, size_t index = 0);
Expr result(const Vjp& v, size_t index = 0);
Expr grad(const Vjp& v, size_t index = 0);
// An operand in the dtype of `like`: parameters may have another one.
Expr operand_as(const Vjp& v, std::string_view input, const Expr& like);
// v.add() of a gradient in another dtype than the operand's.
void contribute(Vjp& v, std::string_view input, const Expr& gradient);
// The gradient of a result, zeros where there is none.
Expr grad_or_zeros(const Vjp& v, size_t index);

// Rule of an op y = f(x) element by element: the formula gives dy/dx from x and y.
OpDef::VjpRule slope(const std::function<Expr(const Expr& x, const Expr& y)>& formula);
// The same for formulas that read parameters of the op.
OpDef::VjpRule slope_of(
    const std::function<Expr(const Vjp& v, const Expr& x, const Expr& y)>& formula);
// Rule of an op whose derivative is zero almost everywhere.
void flat(Vjp& v);

// What autodiff needs of ops.
const GradientOps& gradient_ops();

}  // namespace mw::ops
