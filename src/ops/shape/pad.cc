// pad: y = x with elements added before and after it along its last axes, pad = [before, after,
// ...]; mode constant: they are constant_val; reflect: x mirrored at its border elements;
// replicate: the border elements.
#include <algorithm>

#include "ops/shape/move.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

// Elements before and after, for every axis of x.
std::vector<std::pair<int64_t, int64_t>> paddings(const std::vector<int64_t>& pad, size_t rank) {
  std::vector<std::pair<int64_t, int64_t>> result(rank, {0, 0});
  const size_t first = rank - pad.size() / 2;
  for (size_t i = 0; i < pad.size(); i += 2) result[first + i / 2] = {pad[i], pad[i + 1]};
  return result;
}

void check_extent(const OpView& op, const std::string& mode, int64_t extent, int64_t added) {
  if (added < 0) op.reject("pad", "expected counts of at least 0, got {}", added);
  if (added == 0 || extent == kAny) return;
  if (mode == "reflect" && added >= extent) {
    op.reject("pad", "expected less than the extent {} to reflect, got {}", extent, added);
  }
  if (mode == "replicate" && extent == 0) {
    op.reject("pad", "expected an element to replicate, got an extent of 0");
  }
}

Type infer(const OpView& op) {
  const Type x = expect_movable(op, "x");
  const std::string mode = op.text("mode");
  if (mode != "constant" && mode != "reflect" && mode != "replicate") {
    op.reject("mode", "expected constant, reflect or replicate, got '{}'", mode);
  }
  if (op.has("constant_val")) (void)op.number("constant_val");
  expect_index_vector(op, "pad", kAny);
  const int64_t length = op.shape("pad")[0];
  Shape result = x.shape();
  if (length == kAny) return Type::tensor(x.dtype(), Shape(result.size(), kAny));
  if (length % 2 != 0 || length > 2 * x.rank()) {
    op.reject("pad", "expected an even number of counts up to {}, two per axis, got {}",
              2 * x.rank(), length);
  }
  const auto known = op.known_ints("pad");
  if (!known) {
    std::fill(result.end() - length / 2, result.end(), kAny);
    return Type::tensor(x.dtype(), result);
  }
  const auto pads = paddings(*known, result.size());
  for (size_t i = 0; i < result.size(); ++i) {
    check_extent(op, mode, result[i], pads[i].first);
    check_extent(op, mode, result[i], pads[i].second);
    result[i] = dim_add(result[i], dim_add(pads[i].first, pads[i].second));
  }
  return Type::tensor(x.dtype(), result);
}

void pad_with_constant(const Tensor& x, const std::vector<std::pair<int64_t, int64_t>>& pads,
                       double value, Tensor& y) {
  const Tensor one = Tensor::scalar(value).to(y.dtype());
  Layout to{strides_of(y.shape())};
  for (size_t i = 0; i < pads.size(); ++i) to.offset += pads[i].first * to.strides[i];
  dispatch_bits(y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    std::fill_n(mutable_bits_of<T>(y), y.count(), bits_of<T>(one)[0]);
  });
  copy_elements(x.shape(), x, {strides_of(x.shape())}, y, to);
}

// Where position i of a padded axis is found in x.
int64_t source(int64_t i, int64_t before, int64_t extent, bool reflect) {
  const int64_t at = i - before;
  if (!reflect) return std::clamp<int64_t>(at, 0, extent - 1);
  if (at < 0) return -at;
  return at < extent ? at : 2 * (extent - 1) - at;
}

// y from x along one axis: rows of `inner` elements are copied whole.
void pad_axis(const Tensor& x, size_t axis, int64_t before, bool reflect, Tensor& y) {
  const int64_t inner = product(x.shape(), axis + 1, x.shape().size());
  const int64_t outer = product(x.shape(), 0, axis);
  const int64_t from = x.shape()[axis], to = y.shape()[axis];
  dispatch_bits(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for (int64_t row = 0; row < outer * to; ++row) {
      const int64_t at = row / to * from + source(row % to, before, from, reflect);
      std::copy_n(bits_of<T>(x) + at * inner, inner, mutable_bits_of<T>(y) + row * inner);
    }
  });
}

void evaluate(Eval& e) {
  const Tensor& x = e.in("x");
  const auto pads = paddings(e.ints("pad"), x.shape().size());
  const std::string mode = e.text("mode");
  if (mode == "constant") {
    pad_with_constant(x, pads, e.number("constant_val"), e.out());
    return;
  }
  Tensor padded = x;
  for (size_t i = 0; i < pads.size(); ++i) {
    if (pads[i].first + pads[i].second == 0) continue;
    Shape shape = padded.shape();
    shape[i] += pads[i].first + pads[i].second;
    Tensor next(x.dtype(), shape);
    pad_axis(padded, i, pads[i].first, mode == "reflect", next);
    padded = std::move(next);
  }
  e.set_out(0, std::move(padded));
}

void rule(Vjp& v) {
  const Shape x = v.shape("x");
  const auto pads = paddings(v.ints("pad"), x.size());
  const std::string mode = v.text("mode");
  Expr g = grad(v);
  if (mode == "constant") {
    std::vector<int64_t> begin;
    begin.reserve(pads.size());
    for (const auto& [before, after] : pads) begin.push_back(before);
    const Expr inside = slice(g, begin, x);
    v.add("x", inside);
    if (v.wants("constant_val")) {
      v.add("constant_val", sum_for(v, "constant_val", g) - sum_for(v, "constant_val", inside));
    }
    return;
  }
  for (size_t i = x.size(); i-- > 0;) {
    if (pads[i].first + pads[i].second == 0) continue;
    std::vector<int64_t> from;
    for (int64_t k = 0; k < g.shape()[i]; ++k) {
      from.push_back(source(k, pads[i].first, x[i], mode == "reflect"));
    }
    Shape shape = g.shape();
    shape[i] = x[i];
    const Expr indices = integers(v.builder(), from, {static_cast<int64_t>(from.size())});
    g = scattered(g, indices, static_cast<int64_t>(i), shape);
  }
  v.add("x", g);
}

}  // namespace

OpDef pad() {
  return OpDef("pad")
      .types("T", {DType::kF16, DType::kF32})
      .input("x", "T")
      .input("pad", DType::kI32)
      .input("mode", DType::kString, kConst | kOptional, "constant")
      .input("constant_val", "T", kConst | kOptional | kNoWeight, 0.0)
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
