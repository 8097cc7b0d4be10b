// Reductions over axes: an accumulator per row of the table. Floats accumulate in fp64, integers in
// int64.
#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/elementwise/elementwise.h"
#include "ops/expr.h"

namespace mw::ops {
namespace {

// Absent axes stand for all of them; an empty list for none.
std::vector<bool> reduced_axes(const OpView& op) {
  const int64_t rank = op.rank("x");
  std::vector<bool> reduced(static_cast<size_t>(rank), !op.has("axes"));
  if (op.has("axes")) {
    for (const int64_t axis : op.axes("axes", rank)) reduced[static_cast<size_t>(axis)] = true;
  }
  return reduced;
}

Type infer(const OpView& op) {
  expect_numeric(op, "x");
  const std::vector<bool> reduced = reduced_axes(op);
  const bool keep = op.flag("keep_dims");
  const Shape x = op.shape("x");
  Shape shape;
  for (size_t axis = 0; axis < x.size(); ++axis) {
    if (!reduced[axis]) {
      shape.push_back(x[axis]);
    } else if (keep) {
      shape.push_back(1);
    }
  }
  return Type::tensor(op.dtype("x"), shape);
}

// The accumulators: A is double or int64_t; `n` elements were added when result() is called.
template <class A>
A plus(A a, A b) {
  return wrapping(a, b, [](auto p, auto q) { return p + q; });
}
template <class A>
A times(A a, A b) {
  return wrapping(a, b, [](auto p, auto q) { return p * q; });
}
template <class A>
struct Sum {
  A sum = 0;
  void add(A x) { sum = plus(sum, x); }
  [[nodiscard]] A result(int64_t) const { return sum; }
};
template <class A>
struct Mean : Sum<A> {
  [[nodiscard]] double result(int64_t n) const {
    return static_cast<double>(this->sum) / static_cast<double>(n);
  }
};
template <class A>
struct LogSum : Sum<A> {
  [[nodiscard]] double result(int64_t) const { return std::log(static_cast<double>(this->sum)); }
};
template <class A>
struct SumSquare : Sum<A> {
  void add(A x) { this->sum = plus(this->sum, times(x, x)); }
};
template <class A>
struct L2Norm : SumSquare<A> {
  [[nodiscard]] double result(int64_t) const { return std::sqrt(static_cast<double>(this->sum)); }
};
template <class A>
struct L1Norm : Sum<A> {
  void add(A x) { this->sum = plus(this->sum, x < 0 ? times(x, A{-1}) : x); }
};
template <class A>
struct Product {
  A product = 1;
  void add(A x) { product = times(product, x); }
  [[nodiscard]] A result(int64_t) const { return product; }
};
// NaN wins, and 0 is larger than -0, as in maximum and minimum. Of no elements: the lowest and the
// highest value.
template <class A>
struct Max {
  using Limits = std::numeric_limits<A>;
  A best = Limits::has_infinity ? -Limits::infinity() : Limits::lowest();
  void add(A x) { best = x > best || x != x || (x == best && !has_sign(x)) ? x : best; }
  [[nodiscard]] A result(int64_t) const { return best; }
};
template <class A>
struct Min {
  using Limits = std::numeric_limits<A>;
  A best = Limits::has_infinity ? Limits::infinity() : Limits::max();
  void add(A x) { best = x < best || x != x || (x == best && has_sign(x)) ? x : best; }
  [[nodiscard]] A result(int64_t) const { return best; }
};
// log(sum e^x) = m + log(sum e^(x - m)), m the largest x so far.
template <class A>
struct LogSumExp {
  double largest = -std::numeric_limits<double>::infinity(), sum = 0;
  void add(A value) {
    const auto x = static_cast<double>(value);
    if (x == largest) {
      sum += 1;
    } else if (x < largest) {
      sum += std::exp(x - largest);
    } else {
      sum = sum * std::exp(largest - x) + 1;
      largest = x;
    }
  }
  [[nodiscard]] double result(int64_t) const { return largest + std::log(sum); }
};

// One pass over x in memory order with an accumulator per result element.
template <class T, class Accumulator>
auto accumulate(const Tensor& x, const std::vector<bool>& reduced) {
  Shape kept;
  int64_t per_result = 1;
  for (size_t axis = 0; axis < reduced.size(); ++axis) {
    kept.push_back(reduced[axis] ? 1 : x.shape()[axis]);
    if (reduced[axis]) per_result *= x.shape()[axis];
  }
  std::vector<Accumulator> sums(static_cast<size_t>(count_of(kept)));
  const T* from = x.data<T>();
  for (Walk<1> w(x.shape(), {broadcast_strides(kept, x.shape())}); !w.done(); w.next()) {
    sums[static_cast<size_t>(w.at(0))].add(from[w.flat()]);
  }
  std::vector<decltype(sums[0].result(0))> results;
  results.reserve(sums.size());
  for (const Accumulator& sum : sums) results.push_back(sum.result(per_result));
  return results;
}

template <template <class> class Accumulator>
void evaluate(Eval& e) {
  const Tensor x = computable(e.in("x"));
  const std::vector<bool> reduced = reduced_axes(e);
  const Type& type = e.result_type();
  dispatch_number(x.dtype(), [&]<class T>(T) {
    using A = std::conditional_t<std::is_integral_v<T>, int64_t, double>;
    const auto results = accumulate<T, Accumulator<A>>(x, reduced);
    e.set_out(0, Tensor::from(results, type.shape()).to(type.dtype()));
  });
}

// --- gradients -------------------------------------------------------------------------------

// The shape of the result if every reduced axis were kept as one of extent 1.
Shape kept_shape(const OpView& op) {
  const std::vector<bool> reduced = reduced_axes(op);
  Shape shape = op.shape("x");
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    if (reduced[axis]) shape[axis] = 1;
  }
  return shape;
}

std::vector<int64_t> axis_list(const OpView& op) {
  const std::vector<bool> reduced = reduced_axes(op);
  std::vector<int64_t> axes;
  for (size_t axis = 0; axis < reduced.size(); ++axis) {
    if (reduced[axis]) axes.push_back(static_cast<int64_t>(axis));
  }
  return axes;
}

Expr kept(const Vjp& v, const Expr& y) {
  const Shape shape = kept_shape(v);
  return y.shape() == shape ? y : reshape(y, shape);
}

// Rule of a reduction: the formula gives the gradient of x, or what repeats to it, from that of the
// result with the reduced axes kept.
OpDef::VjpRule reduced(
    const std::function<Expr(const Vjp&, const Expr& g, const Expr& x)>& formula) {
  return [formula](Vjp& v) {
    const Shape x = v.shape("x");
    if (count_of(x) == 0) return;
    v.add("x", repeat_to(formula(v, kept(v, grad(v)), operand(v, "x")), x));
  };
}

Expr from_sum(const Vjp& /*v*/, const Expr& g, const Expr& /*x*/) { return g; }
Expr from_mean(const Vjp& /*v*/, const Expr& g, const Expr& x) {
  const int64_t count = count_of(x.shape()) / count_of(g.shape());
  return g * (1 / static_cast<double>(count));
}
// Equal extremes share the gradient.
Expr from_extreme(const Vjp& v, const Expr& g, const Expr& x) {
  const Expr wins = equal(x, kept(v, result(v)));
  return select(wins, g / reduce_sum(as_number(wins, x), axis_list(v), true), 0.0);
}
Expr from_l1_norm(const Vjp& /*v*/, const Expr& g, const Expr& x) { return g * x.op("sign"); }
// Zero where the norm is.
Expr from_l2_norm(const Vjp& v, const Expr& g, const Expr& x) {
  const Expr y = kept(v, result(v));
  return g / select(y > 0.0, y, 1.0) * x;
}
Expr from_log_sum(const Vjp& v, const Expr& g, const Expr& x) {
  return g / reduce_sum(x, axis_list(v), true);
}
Expr from_log_sum_exp(const Vjp& v, const Expr& g, const Expr& x) {
  if (g.shape() == x.shape()) return g;  // of single elements
  return g * exp(x - kept(v, result(v)));
}
Expr from_sum_square(const Vjp& /*v*/, const Expr& g, const Expr& x) { return g * 2.0 * x; }

// rows [n, count] moved by `distance` columns, ones moving in.
Expr moved_in_ones(const Expr& rows, int64_t distance) {
  const int64_t count = rows.shape()[1], keep = count - std::abs(distance);
  const Expr part =
      rows.op("slice_by_size", {{"begin", std::vector<int64_t>{0, distance < 0 ? -distance : 0}},
                                {"size", std::vector<int64_t>{rows.shape()[0], keep}}});
  const std::vector<int64_t> around{0, 0, std::max<int64_t>(distance, 0),
                                    std::max<int64_t>(-distance, 0)};
  return part.op("pad", {{"pad", around}, rows.number("constant_val", 1)});
}

// Column i: the product of all columns before it (sign 1) or after it (sign -1), by doubling.
Expr product_of_others(const Expr& rows, int64_t sign) {
  const int64_t count = rows.shape()[1];
  Expr product = moved_in_ones(rows, sign);
  for (int64_t covered = 1; covered < count - 1; covered *= 2) {
    product = product * moved_in_ones(product, sign * covered);
  }
  return product;
}

// The product of all other elements: of those before times of those after. Zeros divide nothing.
void product_rule(Vjp& v) {
  const Expr x = operand(v, "x");
  if (count_of(x.shape()) == 0) return;
  const std::vector<bool> reduced = reduced_axes(v);
  std::vector<int64_t> perm, back(reduced.size());
  for (const bool wanted : {false, true}) {
    for (size_t axis = 0; axis < reduced.size(); ++axis) {
      if (reduced[axis] == wanted) perm.push_back(static_cast<int64_t>(axis));
    }
  }
  for (size_t i = 0; i < perm.size(); ++i) {
    back[static_cast<size_t>(perm[i])] = static_cast<int64_t>(i);
  }
  const bool moves = !std::is_sorted(perm.begin(), perm.end());
  const int64_t groups = count_of(kept_shape(v)), count = count_of(x.shape()) / groups;
  const Expr g = kept(v, grad(v));
  if (count == 1) return v.add("x", g);
  const Expr moved = moves ? transpose(x, perm) : x;
  const Expr rows = reshape(moved, {groups, count});
  const Expr others = product_of_others(rows, 1) * product_of_others(rows, -1);
  const Expr shaped = reshape(others, moved.shape());
  v.add("x", g * (moves ? transpose(shaped, back) : shaped));
}

template <template <class> class Accumulator>
OpDef reduction(const char* name, OpDef::VjpRule rule) {
  return OpDef(name)
      .types("T", {DType::kF16, DType::kF32, DType::kI32})
      .input("x", "T")
      .input("axes", DType::kI32, kConst | kOptional)
      .input("keep_dims", DType::kBool, kConst | kOptional, false)
      .infer(infer)
      .eval(evaluate<Accumulator>)
      .vjp(std::move(rule));
}

}  // namespace

OpDef reduce_l1_norm() { return reduction<L1Norm>("reduce_l1_norm", reduced(from_l1_norm)); }
OpDef reduce_l2_norm() { return reduction<L2Norm>("reduce_l2_norm", reduced(from_l2_norm)); }
OpDef reduce_log_sum() { return reduction<LogSum>("reduce_log_sum", reduced(from_log_sum)); }
OpDef reduce_log_sum_exp() {
  return reduction<LogSumExp>("reduce_log_sum_exp", reduced(from_log_sum_exp));
}
OpDef reduce_max() { return reduction<Max>("reduce_max", reduced(from_extreme)); }
OpDef reduce_mean() { return reduction<Mean>("reduce_mean", reduced(from_mean)); }
OpDef reduce_min() { return reduction<Min>("reduce_min", reduced(from_extreme)); }
OpDef reduce_prod() { return reduction<Product>("reduce_prod", product_rule); }
OpDef reduce_sum() { return reduction<Sum>("reduce_sum", reduced(from_sum)); }
OpDef reduce_sum_square() {
  return reduction<SumSquare>("reduce_sum_square", reduced(from_sum_square));
}

}  // namespace mw::ops
