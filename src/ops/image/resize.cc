// upsample_nearest_neighbor, upsample_bilinear, resize_nearest_neighbor, resize_bilinear, resize:
// the last axes of x stretched or shrunk.
#include <cmath>
#include <optional>

#include "ops/image/grid.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

// Extents of the last axes of the result, outermost first.
using Targets = std::vector<int64_t>;

Type with_targets(const OpView& op, const Targets& targets) {
  const Type x = op.tensor_type("x");
  Shape shape = x.shape();
  const size_t first = shape.size() - targets.size();
  for (size_t i = 0; i < targets.size(); ++i) {
    if (shape[first + i] == 0 && targets[i] > 0) {
      op.reject("x", "expected elements along axis {}, got shape {}", first + i, to_string(shape));
    }
    shape[first + i] = targets[i];
  }
  return Type::tensor(x.dtype(), shape);
}

// How the older ops find the nearest neighbour.
int64_t nearest_below(int64_t in, int64_t out, int64_t i) {
  return static_cast<int64_t>(static_cast<__int128>(i) * in / out);
}

// How resize does: the position of the sampling mode, halves up.
int64_t nearest(Sampling sampling, int64_t in, int64_t out, int64_t i) {
  const double position = grid_point(sampling, static_cast<double>(in), out, i);
  return static_cast<int64_t>(
      std::clamp(std::floor(position + 0.5), 0.0, static_cast<double>(in - 1)));
}

// How the last `count` axes of x become those of the result.
std::vector<AxisPick> picks(const Shape& x, const Shape& to, size_t count,
                            std::optional<Sampling> sampling) {
  std::vector<AxisPick> axes;
  for (size_t axis = to.size() - count; axis < to.size(); ++axis) {
    axes.push_back({axis, {}});
    for (int64_t i = 0; i < to[axis]; ++i) {
      axes.back().elements.push_back(sampling ? nearest(*sampling, x[axis], to[axis], i)
                                              : nearest_below(x[axis], to[axis], i));
    }
  }
  return axes;
}

std::vector<AxisBlend> blends(const Shape& x, const Shape& to, size_t count, Sampling sampling) {
  std::vector<AxisBlend> axes;
  for (size_t axis = to.size() - count; axis < to.size(); ++axis) {
    axes.push_back({axis, {}});
    for (int64_t i = 0; i < to[axis]; ++i) {
      const double position = grid_point(sampling, static_cast<double>(x[axis]), to[axis], i);
      axes.back().elements.push_back(blend_at(position, x[axis]));
    }
  }
  return axes;
}

void pick_nearest(Eval& e, size_t count, std::optional<Sampling> sampling) {
  const Tensor& x = e.in("x");
  if (e.out().count() == 0) return;
  e.set_out(0, pick_axes(x, picks(x.shape(), e.result_type().shape(), count, sampling)));
}

void blend_linear(Eval& e, size_t count, Sampling sampling) {
  const Tensor& x = e.in("x");
  if (e.out().count() == 0) return;
  e.set_out(0, blend_axes(x, blends(x.shape(), e.result_type().shape(), count, sampling)));
}

// Elements picked from an axis are given back by adding them up there.
void nearest_rule(Vjp& v, size_t count, std::optional<Sampling> sampling) {
  Expr g = grad(v);
  if (count_of(g.shape()) == 0) return;
  const Shape x = v.shape("x");
  for (const AxisPick& pass : picks(x, g.shape(), count, sampling)) {
    Shape shape = g.shape();
    shape[pass.axis] = x[pass.axis];
    const Expr from =
        integers(v.builder(), pass.elements, {static_cast<int64_t>(pass.elements.size())});
    g = scattered(g, from, static_cast<int64_t>(pass.axis), shape);
  }
  v.add("x", g);
}

// A blend of an axis is a product with a matrix [in, out]; its transpose takes g back.
void linear_rule(Vjp& v, size_t count, Sampling sampling) {
  Expr g = grad(v);
  if (count_of(g.shape()) == 0) return;
  const Shape x = v.shape("x");
  for (const AxisBlend& pass : blends(x, g.shape(), count, sampling)) {
    Shape shape = g.shape();
    const int64_t in = x[pass.axis], out = shape[pass.axis];
    Tensor matrix(DType::kF64, {in, out});
    for (int64_t i = 0; i < out; ++i) {
      const Blend& blend = pass.elements[static_cast<size_t>(i)];
      for (const auto& [element, share] :
           {std::pair(blend.low, 1 - blend.weight), std::pair(blend.high, blend.weight)}) {
        matrix.set_number(element * out + i, matrix.number_at(element * out + i) + share);
      }
    }
    shape[pass.axis] = in;
    const bool last = pass.axis + 1 == shape.size();
    const int64_t inner = product(shape, pass.axis + 1, shape.size());
    const Expr factor = constant_like(g, matrix);
    const int64_t outer = product(shape, 0, pass.axis);
    const Expr seen = reshape(g, last ? Shape{outer, out} : Shape{outer, out, inner});
    const Expr taken = last ? seen.op("matmul", {{"y", factor.value()}, {"transpose_y", true}})
                            : factor.op("matmul", {{"y", seen.value()}});
    g = reshape(taken, shape);
  }
  v.add("x", g);
}

void expect_image(const OpView& op) {
  expect_float(op, "x");
  expect_rank(op, "x", 3, kMaxRank);
}

Type infer_upsample(const OpView& op) {
  expect_image(op);
  const Shape x = op.shape("x");
  const size_t width = x.size() - 1, height = x.size() - 2;
  return with_targets(op, {scaled_extent(op, "scale_factor_height", x[height], height),
                           scaled_extent(op, "scale_factor_width", x[width], width)});
}

Sampling sampling_of_upsample(const OpView& op) {
  const bool align = op.flag("align_corners");
  const bool half = op.has("half_pixel_centers") ? op.flag("half_pixel_centers") : !align;
  if (align && half) {
    op.reject("half_pixel_centers", "expected false with align_corners, got true");
  }
  return align  ? Sampling::kStrictAlignCorners
         : half ? Sampling::kUnalignCorners
                : Sampling::kDefault;
}

Type infer_upsample_bilinear(const OpView& op) {
  (void)sampling_of_upsample(op);
  return infer_upsample(op);
}

Type infer_resize_to_target(const OpView& op) {
  expect_image(op);
  Targets targets;
  for (const char* input : {"target_size_height", "target_size_width"}) {
    targets.push_back(op.integer(input));
    if (targets.back() < 1) op.reject(input, "expected 1 or more, got {}", targets.back());
  }
  return with_targets(op, targets);
}

Type infer_resize_bilinear(const OpView& op) {
  (void)sampling_of(op);
  return infer_resize_to_target(op);
}

bool is_linear(const OpView& op) {
  const std::string mode = op.text("interpolation_mode");
  if (mode != "LINEAR" && mode != "NEAREST_NEIGHBOR") {
    op.reject("interpolation_mode", "expected 'LINEAR' or 'NEAREST_NEIGHBOR', got '{}'", mode);
  }
  return mode == "LINEAR";
}

// The last `resized_dims` entries of `shape`; 0 keeps the extent of x.
Type infer_resize(const OpView& op) {
  expect_numeric(op, "x");
  expect_rank(op, "shape", 1, 1);
  (void)is_linear(op);
  (void)sampling_of(op);
  const Shape x = op.shape("x");
  const int64_t size = op.shape("shape")[0], count = op.integer("resized_dims");
  if (size > op.rank("x")) {
    op.reject("shape", "expected at most {} extents as x has, got {}", x.size(), size);
  }
  const int64_t largest = size == kAny ? op.rank("x") : size;
  if (count < 0 || count > largest) {
    op.reject("resized_dims", "expected a value in [0, {}], got {}", largest, count);
  }
  const std::optional<std::vector<int64_t>> wanted = op.known_ints("shape");
  Targets targets(x.end() - count, x.end());
  for (size_t i = 0; i < targets.size(); ++i) {
    const int64_t value =
        wanted ? (*wanted)[wanted->size() - static_cast<size_t>(count) + i] : kAny;
    if (wanted && value < 0) op.reject("shape", "expected extents of 0 or more, got {}", value);
    if (value != 0) targets[i] = value;
  }
  return with_targets(op, targets);
}

void evaluate_resize(Eval& e) {
  const auto count = static_cast<size_t>(e.integer("resized_dims"));
  if (is_linear(e)) {
    blend_linear(e, count, sampling_of(e));
  } else {
    pick_nearest(e, count, sampling_of(e));
  }
}

void resize_rule(Vjp& v) {
  const auto count = static_cast<size_t>(v.integer("resized_dims"));
  if (is_linear(v)) return linear_rule(v, count, sampling_of(v));
  nearest_rule(v, count, sampling_of(v));
}

OpDef image_op(const char* name) {
  return std::move(OpDef(name).types("T", {DType::kF16, DType::kF32}).input("x", "T"));
}

OpDef upsample(const char* name) {
  return std::move(image_op(name)
                       .types("U", {DType::kF32, DType::kI32})
                       .input("scale_factor_height", "U", kConst | kOptional, 1)
                       .input("scale_factor_width", "U", kConst | kOptional, 1));
}

}  // namespace

OpDef upsample_nearest_neighbor() {
  return upsample("upsample_nearest_neighbor")
      .infer(infer_upsample)
      .eval([](Eval& e) { pick_nearest(e, 2, std::nullopt); })
      .vjp([](Vjp& v) { nearest_rule(v, 2, std::nullopt); });
}

OpDef upsample_bilinear() {
  return upsample("upsample_bilinear")
      .input("align_corners", DType::kBool, kConst | kOptional, true)
      .since(Opset::kIos16,
             [](OpDef& def) { def.input("half_pixel_centers", DType::kBool, kConst | kOptional); })
      .infer(infer_upsample_bilinear)
      .eval([](Eval& e) { blend_linear(e, 2, sampling_of_upsample(e)); })
      .vjp([](Vjp& v) { linear_rule(v, 2, sampling_of_upsample(v)); });
}

OpDef resize_nearest_neighbor() {
  return image_op("resize_nearest_neighbor")
      .input("target_size_height", DType::kI32, kConst)
      .input("target_size_width", DType::kI32, kConst)
      .infer(infer_resize_to_target)
      .eval([](Eval& e) { pick_nearest(e, 2, std::nullopt); })
      .vjp([](Vjp& v) { nearest_rule(v, 2, std::nullopt); });
}

OpDef resize_bilinear() {
  return image_op("resize_bilinear")
      .input("target_size_height", DType::kI32, kConst | kOptional, 1)
      .input("target_size_width", DType::kI32, kConst | kOptional, 1)
      .input("sampling_mode", DType::kString, kConst | kOptional, "DEFAULT")
      .infer(infer_resize_bilinear)
      .eval([](Eval& e) { blend_linear(e, 2, sampling_of(e)); })
      .vjp([](Vjp& v) { linear_rule(v, 2, sampling_of(v)); });
}

OpDef resize() {
  return OpDef("resize")
      .first(Opset::kIos17)
      .types("T", {DType::kF16, DType::kF32, DType::kI32})
      .types("U", {DType::kI32, DType::kI16, DType::kU16, DType::kU32})
      .input("x", "T")
      .input("shape", "U")
      .input("resized_dims", DType::kU32, kConst)
      .input("interpolation_mode", DType::kString, kConst | kOptional, "LINEAR")
      .input("sampling_mode", DType::kString, kConst | kOptional, "DEFAULT")
      .infer(infer_resize)
      .eval(evaluate_resize)
      .vjp(resize_rule);
}

}  // namespace mw::ops
