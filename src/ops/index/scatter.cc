// The scatters: y = data, with `updates` combined into it by `mode` at the places that the gather
// of the same name would read. Updates of one place are combined in their order.
#include <cmath>
#include <numeric>
#include <type_traits>

#include "ops/index/indices.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

enum class Mode : uint8_t { kUpdate, kAdd, kSub, kMul, kDiv, kMax, kMin };

Mode mode_of(const OpView& op) {
  const std::string mode = op.text("mode");
  if (mode == "update") return Mode::kUpdate;
  if (mode == "add") return Mode::kAdd;
  if (mode == "sub") return Mode::kSub;
  if (mode == "mul") return Mode::kMul;
  if (mode == "div") return Mode::kDiv;
  if (mode == "max") return Mode::kMax;
  if (mode == "min") return Mode::kMin;
  op.reject("mode", "expected update, add, sub, mul, div, max or min, got '{}'", mode);
}

// Integers wrap round; a division by 0 gives 0.
template <class T>
T arithmetic(T a, T b, Mode mode) {
  if constexpr (std::is_floating_point_v<T>) {
    if (mode == Mode::kAdd) return a + b;
    if (mode == Mode::kSub) return a - b;
    return mode == Mode::kMul ? a * b : a / b;
  } else {
    const auto ua = static_cast<uint64_t>(static_cast<int64_t>(a));
    const auto ub = static_cast<uint64_t>(static_cast<int64_t>(b));
    if (mode == Mode::kAdd) return static_cast<T>(ua + ub);
    if (mode == Mode::kSub) return static_cast<T>(ua - ub);
    if (mode == Mode::kMul) return static_cast<T>(ua * ub);
    if (b == 0) return 0;
    if (std::is_signed_v<T> && static_cast<int64_t>(b) == -1) return static_cast<T>(0 - ua);
    return static_cast<T>(a / b);
  }
}

// NaN wins max and min, as in NumPy.
template <class T>
T combined(T a, T b, Mode mode) {
  if (mode == Mode::kUpdate) return b;
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(b)) return b;
  }
  if (mode == Mode::kMax) return b > a ? b : a;
  if (mode == Mode::kMin) return b < a ? b : a;
  if constexpr (std::is_same_v<T, bool>) {
    return a;  // infer() admits only the modes above
  } else {
    return arithmetic(a, b, mode);
  }
}

// Combines `count` runs of `run` updates into a copy of data; target(i) is where run i goes.
template <class Target>
void scatter_runs(Eval& e, int64_t count, int64_t run, const Target& target) {
  const Mode mode = mode_of(e);
  const Tensor& updates = e.in("updates");
  Tensor& y = e.out_from(e.in("data"));
  dispatch(y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* from = updates.data<T>();
    T* base = y.mutable_data<T>();
    for (int64_t i = 0; i < count; ++i, from += run) {
      T* to = base + target(i);
      for (int64_t k = 0; k < run; ++k) to[k] = combined(to[k], from[k], mode);
    }
  });
}

Type scattered(const OpView& op) {
  Type data = expect_movable(op, "data");
  expect_integers(op, "indices");
  expect_dtype(op, "updates", data.dtype());
  const Mode mode = mode_of(op);
  const bool ordered = mode == Mode::kUpdate || mode == Mode::kMax || mode == Mode::kMin;
  if (data.dtype() == DType::kBool && !ordered) {
    op.reject("data", "expected numbers to combine, got dtype bool; use mode update");
  }
  return data;
}

Type infer_scatter(const OpView& op) {
  Type data = scattered(op);
  const int64_t axis = op.axis("axis", data.rank());
  const Shape indices = op.shape("indices");
  Shape updates(data.shape().begin(), data.shape().begin() + axis);
  updates.insert(updates.end(), indices.begin(), indices.end());
  updates.insert(updates.end(), data.shape().begin() + axis + 1, data.shape().end());
  expect_shape(op, "updates", updates);
  return data;
}

void evaluate_scatter(Eval& e) {
  const AxisCut cut = cut_at(e.in("data").shape(), e.axis("axis", e.in("data").rank()));
  const std::vector<int64_t> at = IndexReader(e).all(cut.extent);
  const auto count = static_cast<int64_t>(at.size());
  scatter_runs(e, cut.outer * count, cut.inner, [&](int64_t i) {
    return (i / count * cut.extent + at[static_cast<size_t>(i % count)]) * cut.inner;
  });
}

Type infer_scatter_along_axis(const OpView& op) {
  Type data = scattered(op);
  const auto axis = static_cast<size_t>(op.axis("axis", data.rank()));
  expect_rank(op, "indices", data.rank(), data.rank());
  Shape expected = data.shape();
  expected[axis] = op.shape("indices")[axis];
  expect_shape(op, "indices", expected);
  expect_shape(op, "updates", op.shape("indices"));
  return data;
}

void evaluate_scatter_along_axis(Eval& e) {
  const int64_t axis = e.axis("axis", e.in("data").rank());
  const AxisCut to = cut_at(e.in("data").shape(), axis);
  const AxisCut from = cut_at(e.in("updates").shape(), axis);
  const std::vector<int64_t> at = IndexReader(e).all(to.extent);
  scatter_runs(e, static_cast<int64_t>(at.size()), 1, [&](int64_t i) {
    const int64_t outer = i / (from.extent * from.inner);
    return (outer * to.extent + at[static_cast<size_t>(i)]) * to.inner + i % to.inner;
  });
}

Type infer_scatter_nd(const OpView& op) {
  Type data = scattered(op);
  expect_rank(op, "indices", 1, static_cast<int64_t>(kMaxRank));
  const Shape indices = op.shape("indices");
  const int64_t depth = indices.back();
  if (depth == kAny || depth > data.rank()) {
    op.reject("indices", "expected a last extent of {} at most, one per axis of data, got {}",
              data.rank(), to_string(indices));
  }
  Shape updates(indices.begin(), indices.end() - 1);
  updates.insert(updates.end(), data.shape().begin() + depth, data.shape().end());
  expect_shape(op, "updates", updates);
  return data;
}

void evaluate_scatter_nd(Eval& e) {
  const Shape& data = e.in("data").shape();
  const Shape& indices = e.in("indices").shape();
  const auto depth = static_cast<size_t>(indices.back());
  const int64_t run = product(data, depth, data.size());
  const IndexReader reader(e);
  scatter_runs(e, product(indices, 0, indices.size() - 1), run, [&](int64_t i) {
    int64_t at = 0;
    for (size_t k = 0; k < depth; ++k) {
      at = at * data[k] + reader.at(static_cast<size_t>(i) * depth + k, data[k]);
    }
    return at * run;
  });
}

// --- gradients -------------------------------------------------------------------------------
// The three ops differ in where a position lies; a rule sees them as pairs of functions.

enum class Family : uint8_t { kAxis, kAlongAxis, kNd };

class Places {
 public:
  Places(const Vjp& v, Family family) : v_(v), family_(family) {}

  // What stands in `x`, of data's shape, at the places of the updates.
  [[nodiscard]] Expr read(const Expr& x) const {
    static constexpr const char* kOps[] = {"gather", "gather_along_axis", "gather_nd"};
    return x.op(kOps[static_cast<size_t>(family_)], inputs());
  }
  // `data` with `updates` combined into it.
  [[nodiscard]] Expr write(const Expr& data, const Expr& updates, const char* mode) const {
    static constexpr const char* kOps[] = {"scatter", "scatter_along_axis", "scatter_nd"};
    std::vector<Argument> arguments = inputs();
    arguments.emplace_back("updates", updates);
    arguments.emplace_back("mode", mode);
    return data.op_on("data", kOps[static_cast<size_t>(family_)], arguments);
  }
  // Numbers by position among the updates: a later update of a place has a higher one.
  [[nodiscard]] Expr ordinals(const Shape& updates) const {
    const size_t axis = family_ == Family::kNd ? 0 : axis_of();
    const size_t rank = v_.shape("indices").size();
    const size_t end = family_ == Family::kAlongAxis ? axis + 1
                       : family_ == Family::kNd      ? rank - 1
                                                     : axis + rank;
    const int64_t count = product(updates, axis, end);
    std::vector<int64_t> numbers(static_cast<size_t>(count));
    std::iota(numbers.begin(), numbers.end(), 0);
    Shape shape(updates.size(), 1);
    for (size_t i = axis; i < end; ++i) shape[i] = updates[i];
    const Expr column = integers(v_.builder(), numbers, shape);
    return shape == updates ? column : column + zeros_like(column, updates);
  }

 private:
  [[nodiscard]] size_t axis_of() const {
    return static_cast<size_t>(v_.axis("axis", v_.rank("data")));
  }
  [[nodiscard]] std::vector<Argument> inputs() const {
    return same_inputs(v_, {"indices", "axis"});
  }

  const Vjp& v_;
  Family family_;
};

// y = updates where there is one, the last of several, else data.
void update_rule(Vjp& v, const Places& places) {
  const Expr g = grad(v);
  const Shape data = v.shape("data"), updates = v.shape("updates");
  if (v.wants("data")) v.add("data", places.write(g, zeros_like(g, updates), "update"));
  if (!v.wants("updates")) return;
  const Expr order = places.ordinals(updates);
  const Expr last = places.write(zeros_like(order, data), order, "update");
  const Expr got = places.read(g);
  v.add("updates", select(equal(places.read(last), order), got, 0.0));
}

// y = data times all updates of the place; an update gets data times the others. These are counted
// apart: the product of those other than 0, and the sum of the zeros, which is the product of a
// single one and so has its derivative.
void mul_rule(Vjp& v, const Places& places) {
  const Expr g = grad(v), data = operand(v, "data"), updates = operand(v, "updates");
  if (v.wants("data")) v.add("data", places.write(g, updates, "mul"));
  if (!v.wants("updates")) return;
  const Expr flag = not_equal(updates, 0.0);
  const Expr others = select(flag, updates, 1.0), zeros = select(flag, 0.0, updates);
  const Expr product = places.read(places.write(g * data, others, "mul")) / others;
  const Expr none = zeros_like(g, data.shape());
  const auto of_place = [&](const Expr& each) {
    return places.read(places.write(none, each, "add"));
  };
  const Expr is_zero = as_number(flag.op("logical_not"), updates);
  const Expr count = of_place(is_zero) - is_zero, single = of_place(zeros) - zeros;
  v.add("updates", product * select(count > 0.5, select(count > 1.5, 0.0, single), 1.0));
}

// y = data over all updates of the place.
void div_rule(Vjp& v, const Places& places) {
  const Expr g = grad(v), updates = operand(v, "updates");
  if (v.wants("data")) v.add("data", places.write(g, updates, "div"));
  if (v.wants("updates")) v.add("updates", -(places.read(g * result(v)) / updates));
}

// The largest (smallest) gets the gradient; equal ones share it.
void extreme_rule(Vjp& v, const Places& places) {
  const Expr g = grad(v), y = result(v), updates = operand(v, "updates");
  const Expr kept = equal(operand(v, "data"), y), won = equal(updates, places.read(y));
  const Expr share = g / places.write(as_number(kept, g), as_number(won, g), "add");
  if (v.wants("data")) v.add("data", select(kept, share, 0.0));
  if (v.wants("updates")) v.add("updates", select(won, places.read(share), 0.0));
}

void rule(Vjp& v, Family family) {
  const Places places(v, family);
  switch (mode_of(v)) {
    case Mode::kUpdate:
      return update_rule(v, places);
    case Mode::kMul:
      return mul_rule(v, places);
    case Mode::kDiv:
      return div_rule(v, places);
    case Mode::kMax:
    case Mode::kMin:
      return extreme_rule(v, places);
    case Mode::kAdd:
    case Mode::kSub:
      break;
  }
  v.add("data", grad(v));
  if (!v.wants("updates")) return;
  const Expr got = places.read(grad(v));
  v.add("updates", mode_of(v) == Mode::kAdd ? got : -got);
}

OpDef::VjpRule rule_of(Family family) {
  return [family](Vjp& v) { rule(v, family); };
}

OpDef scatter_def(const char* name, bool has_axis) {
  OpDef def(name);
  def.types("T", {DType::kF16, DType::kF32, DType::kI32})
      .input("data", "T")
      .input("indices", DType::kI32)
      .input("updates", "T", kNoWeight);
  if (has_axis) def.input("axis", DType::kI32, kConst | kOptional, 0);
  return def.input("mode", DType::kString, kConst | kOptional, "add")
      .since(Opset::kIos17, [](OpDef& later) {
        later.input("validate_indices", DType::kBool, kConst | kOptional, false);
      });
}

}  // namespace

OpDef scatter() {
  return scatter_def("scatter", true)
      .infer(infer_scatter)
      .eval(evaluate_scatter)
      .vjp(rule_of(Family::kAxis));
}

OpDef scatter_along_axis() {
  return scatter_def("scatter_along_axis", true)
      .infer(infer_scatter_along_axis)
      .eval(evaluate_scatter_along_axis)
      .vjp(rule_of(Family::kAlongAxis));
}

OpDef scatter_nd() {
  return scatter_def("scatter_nd", false)
      .infer(infer_scatter_nd)
      .eval(evaluate_scatter_nd)
      .vjp(rule_of(Family::kNd));
}

}  // namespace mw::ops
