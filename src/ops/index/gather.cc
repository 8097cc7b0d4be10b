// The gathers: gather reads whole slices along one axis, gather_along_axis single elements along
// it, gather_nd slices at positions of several axes.
#include <algorithm>

#include "ops/index/indices.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

// Copies `count` runs of `run` elements; source(i) is where run i starts in x.
template <class Source>
void copy_runs(const Tensor& x, int64_t count, int64_t run, Tensor& y, const Source& source) {
  if (run == 0) return;
  dispatch_bits(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* from = bits_of<T>(x);
    T* to = mutable_bits_of<T>(y);
    for (int64_t i = 0; i < count; ++i, to += run) std::copy_n(from + source(i), run, to);
  });
}

// The first `count` extents of x and indices must agree.
void check_batch(const OpView& op, const Shape& x, const Shape& indices, int64_t count) {
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    if (x[i] != indices[i] && x[i] != kAny && indices[i] != kAny) {
      op.reject("indices", "expected the extents of the {} batch axes of x, {}, got {}", count,
                to_string(x), to_string(indices));
    }
  }
}

int64_t batch_dims(const OpView& op, int64_t highest) {
  if (op.def().find_input("batch_dims") == nullptr) return 0;
  return integer_in(op, "batch_dims", 0, highest);
}

// --- gather ----------------------------------------------------------------------------------
// With b = batch_dims:
//   y[p.., i.., q..] = x[p.., indices[p[:b].., i..], q..], p the axes of x before `axis`, q those
//   after.

Type infer_gather(const OpView& op) {
  const Type x = expect_movable(op, "x");
  expect_integers(op, "indices");
  const Shape indices = op.shape("indices");
  const int64_t axis = op.axis("axis", x.rank());
  const int64_t batch = batch_dims(op, std::min(axis, static_cast<int64_t>(indices.size())));
  check_batch(op, x.shape(), indices, batch);
  Shape result(x.shape().begin(), x.shape().begin() + axis);
  for (size_t i = 0; i < static_cast<size_t>(batch); ++i) {
    if (result[i] == kAny) result[i] = indices[i];
  }
  result.insert(result.end(), indices.begin() + batch, indices.end());
  result.insert(result.end(), x.shape().begin() + axis + 1, x.shape().end());
  if (result.size() > kMaxRank) {
    op.reject("indices", "expected a result of rank {} at most, got {}", kMaxRank, result.size());
  }
  return Type::tensor(x.dtype(), result);
}

void evaluate_gather(Eval& e) {
  const Tensor& x = e.in("x");
  const Shape& indices = e.in("indices").shape();
  const int64_t axis = e.axis("axis", x.rank());
  const auto batch = static_cast<size_t>(batch_dims(e, axis));
  const AxisCut cut = cut_at(x.shape(), axis);
  const std::vector<int64_t> at = IndexReader(e).all(cut.extent);
  // Indices per batch, and positions of x between the batch axes and `axis`.
  const int64_t count = product(indices, batch, indices.size());
  const int64_t between = product(x.shape(), batch, static_cast<size_t>(axis));
  if (count == 0) return;
  copy_runs(x, cut.outer * count, cut.inner, e.out(), [&](int64_t i) {
    const int64_t outer = i / count, which = outer / between * count + i % count;
    return (outer * cut.extent + at[static_cast<size_t>(which)]) * cut.inner;
  });
}

// Batch axes and `axis` become one, along which each batch has indices of its own.
Expr scattered_by_batch(const Vjp& v, const Shape& x, int64_t axis, size_t batch) {
  const Expr g = grad(v), indices = as(operand(v, "indices"), DType::kI32);
  const Shape& at = indices.shape();
  const AxisCut cut = cut_at(x, axis);
  const int64_t batches = product(x, 0, batch), count = product(at, batch, at.size());
  const int64_t between = cut.outer / std::max<int64_t>(batches, 1);
  std::vector<int64_t> starts;
  for (int64_t b = 0; b < batches; ++b) starts.push_back(b * cut.extent);
  const Expr within =
      reshape(indices, {batches, count}).op("mod", {{"y", static_cast<int>(cut.extent)}});
  const Expr rows =
      reshape(within + integers(v.builder(), starts, {batches, 1}), {batches * count});
  const Expr parts = transpose(reshape(g, {batches, between, count, cut.inner}), {0, 2, 1, 3});
  const Expr sums = scattered(reshape(parts, {batches * count, between, cut.inner}), rows, 0,
                              {batches * cut.extent, between, cut.inner});
  const Expr whole = reshape(sums, {batches, cut.extent, between, cut.inner});
  return reshape(transpose(whole, {0, 2, 1, 3}), x);
}

void gather_rule(Vjp& v) {
  const Shape x = v.shape("x");
  const int64_t axis = v.axis("axis", static_cast<int64_t>(x.size()));
  const auto batch = static_cast<size_t>(batch_dims(v, axis));
  v.add("x", batch == 0 ? scattered(grad(v), operand(v, "indices"), axis, x)
                        : scattered_by_batch(v, x, axis, batch));
}

// --- gather_along_axis -----------------------------------------------------------------------
//   y[p.., i, q..] = x[p.., indices[p.., i, q..], q..]

Type infer_gather_along_axis(const OpView& op) {
  const Type x = expect_movable(op, "x");
  expect_integers(op, "indices");
  expect_rank(op, "indices", x.rank(), x.rank());
  Shape expected = x.shape();
  const auto axis = static_cast<size_t>(op.axis("axis", x.rank()));
  const Shape indices = op.shape("indices");
  expected[axis] = indices[axis];
  expect_shape(op, "indices", expected);
  for (size_t i = 0; i < expected.size(); ++i) {
    if (expected[i] == kAny) expected[i] = indices[i];
  }
  return Type::tensor(x.dtype(), expected);
}

void evaluate_gather_along_axis(Eval& e) {
  const Tensor& x = e.in("x");
  Tensor& y = e.out();
  const int64_t axis = e.axis("axis", x.rank());
  const AxisCut from = cut_at(x.shape(), axis), to = cut_at(y.shape(), axis);
  const std::vector<int64_t> at = IndexReader(e).all(from.extent);
  copy_runs(x, y.count(), 1, y, [&](int64_t i) {
    const int64_t outer = i / (to.extent * to.inner);
    return (outer * from.extent + at[static_cast<size_t>(i)]) * from.inner + i % to.inner;
  });
}

void gather_along_axis_rule(Vjp& v) {
  const Expr g = grad(v), indices = as(operand(v, "indices"), DType::kI32);
  v.add("x", zeros_like(g, v.shape("x"))
                 .op_on("data", "scatter_along_axis",
                        {{"indices", indices.value()},
                         {"updates", g.value()},
                         {"axis", v.axis("axis", v.rank("x"))},
                         {"mode", "add"}}));
}

// --- gather_nd -------------------------------------------------------------------------------
// With b = batch_dims:  y[p.., i.., q..] = x[p.., indices[p.., i.., :].., q..], p the b batch axes.

Type infer_gather_nd(const OpView& op) {
  const Type x = expect_movable(op, "x");
  expect_integers(op, "indices");
  expect_rank(op, "indices", 1, static_cast<int64_t>(kMaxRank));
  const Shape indices = op.shape("indices");
  const auto rank = static_cast<int64_t>(indices.size());
  const int64_t batch = batch_dims(op, std::min(rank - 1, x.rank()));
  const int64_t depth = indices.back();
  if (depth == kAny || depth > x.rank() - batch) {
    op.reject("indices", "expected a last extent of {} at most, one per axis of x, got {}",
              x.rank() - batch, to_string(indices));
  }
  check_batch(op, x.shape(), indices, batch);
  Shape result(indices.begin(), indices.end() - 1);
  for (size_t i = 0; i < static_cast<size_t>(batch); ++i) {
    if (result[i] == kAny) result[i] = x.shape()[i];
  }
  result.insert(result.end(), x.shape().begin() + batch + depth, x.shape().end());
  if (result.size() > kMaxRank) {
    op.reject("indices", "expected a result of rank {} at most, got {}", kMaxRank, result.size());
  }
  return Type::tensor(x.dtype(), result);
}

void evaluate_gather_nd(Eval& e) {
  const Tensor& x = e.in("x");
  const Shape& indices = e.in("indices").shape();
  const auto depth = static_cast<size_t>(indices.back());
  const auto batch = static_cast<size_t>(batch_dims(e, x.rank()));
  const IndexReader reader(e);
  const int64_t per_batch = product(indices, batch, indices.size() - 1);
  const int64_t batch_size = product(x.shape(), batch, x.shape().size());
  const int64_t run = product(x.shape(), batch + depth, x.shape().size());
  const int64_t count = product(indices, 0, indices.size() - 1);
  copy_runs(x, count, run, e.out(), [&](int64_t i) {
    int64_t at = 0;
    for (size_t k = 0; k < depth; ++k) {
      const int64_t extent = x.shape()[batch + k];
      at = at * extent + reader.at(static_cast<size_t>(i) * depth + k, extent);
    }
    return i / per_batch * batch_size + at * run;
  });
}

// Batch axes become one, whose positions are put in front of the indices.
void gather_nd_rule(Vjp& v) {
  const Shape x = v.shape("x");
  const auto batch = static_cast<size_t>(batch_dims(v, static_cast<int64_t>(x.size())));
  Expr g = grad(v), indices = as(operand(v, "indices"), DType::kI32);
  Shape data = x;
  if (batch > 0) {
    const Shape at = indices.shape();
    const int64_t batches = product(x, 0, batch), count = product(at, batch, at.size() - 1);
    std::vector<int64_t> positions;
    for (int64_t i = 0; i < batches * count; ++i) positions.push_back(i / count);
    const Expr front = integers(v.builder(), positions, {batches, count, 1});
    const Expr back = reshape(indices, {batches, count, at.back()});
    const std::vector<Value*> both{front, back};
    indices = {v.builder(), v.builder().op("concat", {{"values", both}, {"axis", 2}})};
    data = {batches};
    data.insert(data.end(), x.begin() + static_cast<int64_t>(batch), x.end());
    Shape updates{batches, count};
    updates.insert(updates.end(), x.begin() + static_cast<int64_t>(batch) + at.back(), x.end());
    g = reshape(g, updates);
  }
  const Expr sums = zeros_like(g, data).op_on(
      "data", "scatter_nd",
      {{"indices", indices.value()}, {"updates", g.value()}, {"mode", "add"}});
  v.add("x", batch > 0 ? reshape(sums, x) : sums);
}

OpDef gather_def(const char* name) {
  OpDef def(name);
  def.types("T", {DType::kF16, DType::kF32, DType::kI32}).types("I", {DType::kI32}).traits(kSlices);
  return def.input("x", "T").input("indices", "I");
}

void widen_ios16(OpDef& def) { def.types("I", gather_index_dtypes_ios16()); }
void widen_ios17(OpDef& def) {
  def.types("T", {DType::kF16, DType::kF32, DType::kI32, DType::kI16, DType::kU16, DType::kI8,
                  DType::kU8})
      .types("I", gather_index_dtypes_ios17())
      .input("validate_indices", DType::kBool, kConst | kOptional, false);
}
void add_batch_dims(OpDef& def) {
  widen_ios16(def);
  def.input("batch_dims", DType::kI32, kConst | kOptional, 0);
}

}  // namespace

OpDef gather() {
  return gather_def("gather")
      .input("x", "T", kWeight)
      .input("axis", DType::kI32, kConst | kOptional, 0)
      .since(Opset::kIos16, add_batch_dims)
      .since(Opset::kIos17, widen_ios17)
      .infer(infer_gather)
      .eval(evaluate_gather)
      .vjp(gather_rule);
}

OpDef gather_along_axis() {
  return gather_def("gather_along_axis")
      .input("axis", DType::kI32, kConst | kOptional, 0)
      .since(Opset::kIos16, widen_ios16)
      .since(Opset::kIos17, widen_ios17)
      .infer(infer_gather_along_axis)
      .eval(evaluate_gather_along_axis)
      .vjp(gather_along_axis_rule);
}

OpDef gather_nd() {
  return gather_def("gather_nd")
      .since(Opset::kIos16, add_batch_dims)
      .since(Opset::kIos17, widen_ios17)
      .infer(infer_gather_nd)
      .eval(evaluate_gather_nd)
      .vjp(gather_nd_rule);
}

}  // namespace mw::ops
