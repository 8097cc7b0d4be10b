// slice_update: y = x, except that the slice of x that slice_by_index would read holds `update`.
#include <algorithm>

#include "base/error.h"
#include "ops/shape/rules.h"
#include "ops/shape/slices.h"

namespace mw::ops {
namespace {

Type infer(const OpView& op) {
  Type x = expect_movable(op, "x");
  expect_dtype(op, "update", x.dtype());
  const Shape sliced = sliced_shape(slices_of(op, x.shape())), update = op.shape("update");
  const bool known = std::ranges::none_of(sliced, [](int64_t extent) { return extent == kAny; });
  if (known && op.type("update").is_static() && update != sliced) {
    reject_update(op.where(), slice_axes(op, x.shape()), sliced, update);
  }
  expect_shape(op, "update", sliced);
  return x;
}

void evaluate(Eval& e) {
  const Tensor& x = e.in("x");
  const Tensor& update = e.in("update");
  Tensor& y = e.out_from(x);
  copy_elements(update.shape(), update, {strides_of(update.shape())}, y,
                sliced_layout(slices_of(e, x.shape()), x.shape()));
}

const std::vector<std::string_view> kSliceInputs{"begin",      "end",      "stride",
                                                 "begin_mask", "end_mask", "squeeze_mask"};

// The slice of g at bounds that only a run knows, by the extents of `update`.
Expr moving_slice(const Vjp& v, const std::vector<Slice>& slices) {
  const Expr begin = operand(v, "begin");
  const Shape update = v.shape("update");
  const bool masked = v.has("begin_mask");
  std::vector<Value*> first;
  Shape size;
  for (size_t i = 0; i < slices.size(); ++i) {
    const Slice& s = slices[i];
    if (s.stride != 1) {
      fail(ErrorCode::kUnsupported, "stride: expected 1 where bounds are not known, got {}",
           s.stride);
    }
    const bool known = s.begin != kAny || (masked && v.flags("begin_mask")[i]);
    first.push_back(known ? integers(v.builder(), {std::max<int64_t>(s.begin, 0)}, {1}).value()
                          : element(begin, static_cast<int64_t>(i)).value());
    const size_t at =
        static_cast<size_t>(std::count_if(slices.begin(), slices.begin() + static_cast<int64_t>(i),
                                          [](const Slice& other) { return !other.squeezed; }));
    size.push_back(s.squeezed ? 1 : update[at]);
  }
  Builder& b = v.builder();
  Value* from = b.op("concat", {{"values", first}, {"axis", 0}});
  const Expr part = grad(v).op("slice_by_size", {{"begin", from}, {"size", size}});
  return part.shape() == update ? part : reshape(part, update);
}

void rule(Vjp& v) {
  const Expr g = grad(v);
  if (v.wants("x")) {
    std::vector<Argument> inputs = same_inputs(v, kSliceInputs);
    inputs.emplace_back("update", zeros_like(g, v.shape("update")));
    v.add("x", g.op("slice_update", inputs));
  }
  if (!v.wants("update")) return;
  const std::vector<Slice> slices = slices_of(v, v.shape("x"));
  const bool known = std::none_of(slices.begin(), slices.end(),
                                  [](const Slice& slice) { return slice.begin == kAny; });
  v.add("update",
        known ? g.op("slice_by_index", same_inputs(v, kSliceInputs)) : moving_slice(v, slices));
}

}  // namespace

OpDef slice_update() {
  OpDef def("slice_update");
  def.first(Opset::kIos18)
      .types("T", moved_dtypes_ios17())
      .input("x", "T")
      .input("update", "T", kNoWeight);
  declare_slice_inputs(def, index_dtypes_ios17());
  return def.infer(infer).eval(evaluate).vjp(rule);
}

}  // namespace mw::ops
