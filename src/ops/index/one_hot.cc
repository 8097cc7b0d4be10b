// one_hot: an axis of one_hot_vector_size is added at `axis`; along it y is on_value at position
// indices[..] and off_value elsewhere. An index outside the vector marks no position.
#include <algorithm>

#include "ops/index/indices.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

void expect_one(const OpView& op, std::string_view input) {
  const Shape shape = expect_movable(op, input).shape();
  if (product(shape, 0, shape.size()) != 1) {
    op.reject(input, "expected one value, got shape {}", to_string(shape));
  }
}

// The dtype of the values; both defaults are integers, and one given alone decides for the other.
DType value_dtype(const OpView& op) {
  const bool on = op.has("on_value"), off = op.has("off_value");
  if (on) expect_one(op, "on_value");
  if (off) expect_one(op, "off_value");
  if (on && off) expect_dtype(op, "off_value", op.dtype("on_value"));
  if (on) return op.dtype("on_value");
  return off ? op.dtype("off_value") : DType::kI32;
}

Type infer(const OpView& op) {
  expect_integers(op, "indices");
  expect_integers(op, "one_hot_vector_size");
  expect_one(op, "one_hot_vector_size");
  Shape result = op.shape("indices");
  if (result.size() == kMaxRank) {
    op.reject("indices", "expected rank {} at most, got {}", kMaxRank - 1, result.size());
  }
  const int64_t axis = op.axis("axis", static_cast<int64_t>(result.size()) + 1);
  const auto size = op.known_ints("one_hot_vector_size");
  if (size && (*size)[0] < 0) {
    op.reject("one_hot_vector_size", "expected a size of at least 0, got {}", (*size)[0]);
  }
  result.insert(result.begin() + axis, size ? (*size)[0] : kAny);
  return Type::tensor(value_dtype(op), result);
}

Tensor value_of(Eval& e, std::string_view input, double otherwise, DType dtype) {
  return e.has(input) ? e.in(input) : Tensor::scalar(otherwise).to(dtype);
}

void evaluate(Eval& e) {
  Tensor& y = e.out();
  const Tensor on = value_of(e, "on_value", 1, y.dtype());
  const Tensor off = value_of(e, "off_value", 0, y.dtype());
  const std::vector<int64_t> indices = integers_of(e.in("indices"));
  const AxisCut cut = cut_at(y.shape(), e.axis("axis", y.rank()));
  dispatch_bits(y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    T* to = mutable_bits_of<T>(y);
    std::fill_n(to, y.count(), bits_of<T>(off)[0]);
    for (size_t i = 0; i < indices.size(); ++i) {
      if (indices[i] < 0 || indices[i] >= cut.extent) continue;
      const int64_t outer = static_cast<int64_t>(i) / cut.inner;
      const int64_t inner = static_cast<int64_t>(i) % cut.inner;
      to[(outer * cut.extent + indices[i]) * cut.inner + inner] = bits_of<T>(on)[0];
    }
  });
}

void rule(Vjp& v) {
  const Expr g = grad(v);
  const auto marked = [&](double on, double off) {
    std::vector<Argument> inputs = same_inputs(v, {"indices", "one_hot_vector_size", "axis"});
    inputs.push_back(g.number("on_value", on));
    inputs.push_back(g.number("off_value", off));
    return Expr(v.builder(), v.builder().op("one_hot", inputs));
  };
  if (v.wants("on_value")) v.add("on_value", sum_for(v, "on_value", g * marked(1, 0)));
  if (v.wants("off_value")) v.add("off_value", sum_for(v, "off_value", g * marked(0, 1)));
}

}  // namespace

OpDef one_hot() {
  return OpDef("one_hot")
      .types("T", moved_dtypes())
      .input("indices", DType::kI32)
      .input("one_hot_vector_size", DType::kI32)
      .input("axis", DType::kI32, kConst | kOptional, -1)
      .input("on_value", "T", kConst | kOptional | kNoWeight, 1)
      .input("off_value", "T", kConst | kOptional | kNoWeight, 0)
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
