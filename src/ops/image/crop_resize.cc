// crop_resize: boxes of the images x [B, C, H, W], each resized to one target size.
//
// Up to iOS16 `roi` [N, 1, 4 or 5, 1, 1] gives the boxes, for all images or (5) for that whose
// index comes first; from iOS17 on `boxes` [N, 4] with `box_indices` [N].
#include <cmath>
#include <numeric>
#include <optional>

#include "base/error.h"
#include "ops/image/grid.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

bool has_roi(const OpView& op) { return op.def().find_input("roi") != nullptr; }

void check_boxes(const OpView& op) {
  expect_numeric(op, "boxes");
  expect_shape(op, "boxes", {kAny, 4});
  if (op.flag("normalized_coordinates")) expect_float(op, "boxes");
  const int64_t images = op.shape("x")[0], boxes = op.shape("boxes")[0];
  if (op.has("box_indices")) {
    if (is_float(op.dtype("box_indices"))) {
      op.reject("box_indices", "expected integers, got {}", mw::name_of(op.dtype("box_indices")));
    }
    expect_numeric(op, "box_indices");
    expect_shape(op, "box_indices", {boxes});
  } else if (boxes != kAny && images != kAny && boxes > images) {
    op.reject("boxes", "expected at most {} boxes, one per image, got {}; add box_indices", images,
              boxes);
  }
}

struct CoordinateMode {
  bool corners, height_first;
};
CoordinateMode coordinate_mode_of(const OpView& op) {
  const std::string name = op.text("box_coordinate_mode");
  if (name == "CORNERS_HEIGHT_FIRST") return {true, true};
  if (name == "CORNERS_WIDTH_FIRST") return {true, false};
  if (name == "CENTER_SIZE_HEIGHT_FIRST") return {false, true};
  if (name == "CENTER_SIZE_WIDTH_FIRST") return {false, false};
  op.reject("box_coordinate_mode",
            "expected 'CORNERS_HEIGHT_FIRST', 'CORNERS_WIDTH_FIRST', 'CENTER_SIZE_HEIGHT_FIRST' "
            "or 'CENTER_SIZE_WIDTH_FIRST', got '{}'",
            name);
}

Type infer(const OpView& op) {
  expect_float(op, "x");
  expect_rank(op, "x", 4, 4);
  (void)sampling_of(op);
  (void)coordinate_mode_of(op);
  (void)op.number("spatial_scale");
  Shape target;
  for (const char* input : {"target_height", "target_width"}) {
    target.push_back(op.integer(input));
    if (target.back() < 1) op.reject(input, "expected 1 or more, got {}", target.back());
  }
  const Type x = op.tensor_type("x");
  for (const int64_t extent : {x.shape()[2], x.shape()[3]}) {
    if (extent == 0) op.reject("x", "expected an image, got shape {}", to_string(x.shape()));
  }
  Shape shape;
  if (has_roi(op)) {
    expect_float(op, "roi");
    const Shape roi = op.shape("roi");
    expect_shape(op, "roi", {kAny, 1, kAny, 1, 1});
    if (roi[2] != 4 && roi[2] != 5 && roi[2] != kAny) {
      op.reject("roi", "expected 4 or 5 values per box, got shape {}", to_string(roi));
    }
    const int64_t images = x.shape()[0] == 1 ? 1 : kAny;
    shape = {roi[0], roi[2] == 5 ? 1 : roi[2] == 4 ? x.shape()[0] : images};
  } else {
    check_boxes(op);
    shape = {op.shape("boxes")[0]};
  }
  (void)op.flag("normalized_coordinates");
  if (op.def().find_input("pad_value") != nullptr) (void)op.number("pad_value");
  shape.insert(shape.end(), {x.shape()[1], target[0], target[1]});
  return Type::tensor(x.dtype(), shape);
}

struct Interval {
  double start, end;
};
// One box in elements of the image.
struct Box {
  Interval height, width;
};

// Four numbers from `at` on as a box.
Box box_at(const Eval& e, const Tensor& boxes, int64_t at, const Tensor& x) {
  const CoordinateMode mode = coordinate_mode_of(e);
  const double scale = e.number("spatial_scale");
  const bool normalized = e.flag("normalized_coordinates");
  const auto interval = [&](int64_t first, int64_t axis) {
    const double unit = scale * (normalized ? static_cast<double>(x.dim(axis) - 1) : 1);
    const double a = boxes.number_at(at + first), b = boxes.number_at(at + first + 2);
    if (mode.corners) return Interval{a * unit, b * unit};
    return Interval{(a - b / 2) * unit, (a + b / 2) * unit};
  };
  const int64_t height = mode.height_first ? 0 : 1;
  return {interval(height, 2), interval(1 - height, 3)};
}

// Positions of the samples in the image. An interval that ends before it starts is walked
// backwards; UNALIGN_CORNERS reads it as the whole axis, as Core ML does in coremltools' own test.
std::vector<double> positions(Interval interval, Sampling sampling, int64_t extent, int64_t out) {
  const bool backwards = interval.end < interval.start;
  if (backwards && sampling == Sampling::kUnalignCorners) {
    return positions({0, static_cast<double>(extent - 1)}, sampling, extent, out);
  }
  const double length = std::fabs(interval.end - interval.start);
  std::vector<double> result;
  for (int64_t i = 0; i < out; ++i) {
    double distance = grid_point(sampling, length + 1, out, i);
    if (sampling != Sampling::kOffsetCorners) distance = std::clamp(distance, 0.0, length);
    result.push_back(distance == length ? interval.end
                     : backwards        ? interval.start - distance
                                        : interval.start + distance);
  }
  return result;
}

struct Target {
  Sampling sampling;
  int64_t height, width;
  double pad_value;
};

// One box of one image, all channels: y [C, height, width].
template <class T>
void resize_box(const Tensor& x, int64_t image, const Box& box, const Target& target, T* y) {
  const int64_t height = x.dim(2), width = x.dim(3);
  const auto rows = positions(box.height, target.sampling, height, target.height);
  const auto columns = positions(box.width, target.sampling, width, target.width);
  const auto outside = [](double at, int64_t extent) {
    return !(at >= 0 && at <= static_cast<double>(extent - 1));
  };
  for (int64_t c = 0; c < x.dim(1); ++c) {
    const T* plane = x.data<T>() + (image * x.dim(1) + c) * height * width;
    for (const double row : rows) {
      for (const double column : columns) {
        if (outside(row, height) || outside(column, width)) {
          *y++ = static_cast<T>(target.pad_value);
          continue;
        }
        const Blend v = blend_at(row, height), h = blend_at(column, width);
        const auto across = [&](int64_t r) {
          return (1 - h.weight) * static_cast<double>(plane[r * width + h.low]) +
                 h.weight * static_cast<double>(plane[r * width + h.high]);
        };
        *y++ = static_cast<T>((1 - v.weight) * across(v.low) + v.weight * across(v.high));
      }
    }
  }
}

int64_t image_index(const Eval& e, std::string_view input, int64_t index, int64_t images) {
  if (index < 0 || index >= images) {
    e.reject(input, "expected image indices in [0, {}], got {}", images - 1, index);
  }
  return index;
}

// Calls visit(box, image) in the order of the result.
template <class Visit>
void for_each_crop(Eval& e, const Visit& visit) {
  const Tensor& x = e.in("x");
  const Tensor& boxes = e.in(has_roi(e) ? "roi" : "boxes");
  const int64_t width = has_roi(e) ? boxes.dim(2) : 4, images = x.dim(0);
  for (int64_t n = 0; n < boxes.dim(0); ++n) {
    const Box box = box_at(e, boxes, n * width + width - 4, x);
    if (!has_roi(e)) {
      const int64_t index = e.has("box_indices") ? e.in("box_indices").integer_at(n) : n;
      visit(box, image_index(e, "box_indices", index, images));
    } else if (width == 5) {
      visit(box, image_index(e, "roi", boxes.integer_at(n * width), images));
    } else {
      for (int64_t image = 0; image < images; ++image) visit(box, image);
    }
  }
}

void evaluate(Eval& e) {
  const Tensor& x = e.in("x");
  Tensor& y = e.out();
  if (y.count() == 0) return;
  const bool pads = e.def().find_input("pad_value") != nullptr;
  const Target target{sampling_of(e), y.dim(-2), y.dim(-1), pads ? e.number("pad_value") : 0};
  dispatch_float(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    T* to = y.mutable_data<T>();
    for_each_crop(e, [&](const Box& box, int64_t image) {
      resize_box(x, image, box, target, to);
      to += x.dim(1) * target.height * target.width;
    });
  });
}

// --- gradient --------------------------------------------------------------------------------
// A crop is rows^T x columns, where rows [h, target h] and columns hold what each element counts
// at each sample. Boxes are inputs, so both are computed.

struct Axis {
  int64_t extent, target;
  Expr start, end;  // [boxes, 1]
};

// positions() in MIL ops: [boxes, target].
Expr sample_positions(Sampling sampling, Axis axis) {
  Expr start = axis.start, end = axis.end;
  if (sampling == Sampling::kUnalignCorners) {
    const Expr forwards = start <= end;
    start = select(forwards, start, 0.0);
    end = select(forwards, end, static_cast<double>(axis.extent - 1));
  }
  const Expr length =
      start.op("maximum", {{"y", end.value()}}) - start.op("minimum", {{"y", end.value()}});
  const bool ends_coincide =
      sampling == Sampling::kStrictAlignCorners || sampling == Sampling::kAlignCorners;
  // grid_point() is linear in the length, but for its bound.
  Tensor slopes(DType::kF64, {1, axis.target}), shifts(DType::kF64, {1, axis.target});
  for (int64_t i = 0; i < axis.target; ++i) {
    const double at_two = grid_point(sampling, 2, axis.target, i);
    const double slope = grid_point(sampling, 3, axis.target, i) - at_two;
    slopes.set_number(i, slope);
    shifts.set_number(i, ends_coincide ? 0 : at_two - slope);
  }
  Expr distance =
      (sampling == Sampling::kOffsetCorners ? length.op("maximum", {length.number("y", 1)})
                                            : length) *
      constant_like(length, slopes);
  if (sampling != Sampling::kOffsetCorners) {
    distance = distance + constant_like(length, shifts);
    distance = distance.op("maximum", {distance.number("y", 0)});
    distance = distance.op("minimum", {{"y", length.value()}});
  }
  const Expr within = select(start <= end, start + distance, start - distance);
  return select(equal(distance, length), end, within);
}

// Flags, [boxes, target].
Expr inside(const Axis& axis, const Expr& at) {
  const Expr below = at <= static_cast<double>(axis.extent - 1);
  return (at >= 0.0).op("logical_and", {{"y", below.value()}});
}

// [boxes, target, extent]: linear between the elements, nothing outside of them.
Expr shares(const Axis& axis, const Expr& at) {
  Tensor before(DType::kF64, {1, 1, axis.extent}), after(DType::kF64, {1, 1, axis.extent});
  for (int64_t i = 0; i < axis.extent; ++i) {
    before.set_number(i, static_cast<double>(i - 1));
    after.set_number(i, static_cast<double>(i + 1));
  }
  const Shape column{at.shape()[0], axis.target, 1};
  const Expr seen = reshape(at, column);
  const Expr rising = seen - constant_like(at, before), falling = constant_like(at, after) - seen;
  const Expr share = rising.op("minimum", {{"y", falling.value()}}).op("relu");
  return select(reshape(inside(axis, at), column), share, 0.0);
}

Axis axis_of_boxes(const Vjp& v, const Expr& boxes, size_t which) {
  const CoordinateMode mode = coordinate_mode_of(v);
  const int64_t extent = v.shape("x")[2 + which], count = boxes.shape()[0];
  const int64_t first = boxes.shape()[1] - 4 + ((which == 0) == mode.height_first ? 0 : 1);
  const bool normalized = v.flag("normalized_coordinates");
  const double unit =
      v.number("spatial_scale") * (normalized ? static_cast<double>(extent - 1) : 1);
  const auto edge = [&](int64_t at) {
    const Expr value = slice(boxes, {0, at}, {count, 1});
    return unit == 1 ? value : value * unit;
  };
  const Expr a = edge(first), b = edge(first + 2);
  const int64_t target = v.out()->type.shape()[v.out()->type.shape().size() - 2 + which];
  if (mode.corners) return {extent, target, a, b};
  return {extent, target, a - b * 0.5, a + b * 0.5};
}

// Which image each box is of, as int32; nullopt: all of them.
std::optional<Expr> images_of_boxes(const Vjp& v, const Expr& boxes) {
  const int64_t count = boxes.shape()[0];
  if (has_roi(v)) {
    if (boxes.shape()[1] == 4) return std::nullopt;
    return as(reshape(slice(boxes, {0, 0}, {count, 1}), {count}), DType::kI32);
  }
  if (v.has("box_indices")) return operand(v, "box_indices");
  std::vector<int64_t> each(static_cast<size_t>(count));
  std::iota(each.begin(), each.end(), 0);
  return integers(v.builder(), each, {count});
}

void rule(Vjp& v) {
  const char* input = has_roi(v) ? "roi" : "boxes";
  if (v.wants(input)) {
    fail(ErrorCode::kUnsupported, "{}: no gradient passes to the boxes; train other parameters",
         input);
  }
  const Expr g = grad(v);
  if (count_of(g.shape()) == 0) return;
  const Shape x = v.shape("x"), y = g.shape();
  const Expr given = as(operand(v, input), g.dtype());
  const int64_t count = given.shape()[0];
  const Expr boxes = reshape(given, {count, count_of(given.shape()) / count});
  const Sampling sampling = sampling_of(v);
  const Axis height = axis_of_boxes(v, boxes, 0), width = axis_of_boxes(v, boxes, 1);
  const int64_t planes = count_of(y) / (count * height.target * width.target);
  const Expr crops = reshape(g, {count, planes, height.target, width.target});
  const Expr down = sample_positions(sampling, height), across = sample_positions(sampling, width);
  if (v.wants("pad_value")) {
    const Expr row = reshape(inside(height, down), {count, 1, height.target, 1});
    const Expr column = reshape(inside(width, across), {count, 1, 1, width.target});
    const Expr outside = row.op("logical_and", {{"y", column.value()}}).op("logical_not");
    v.add("pad_value", sum_for(v, "pad_value", crops * as_number(outside, crops)));
  }
  if (!v.wants("x")) return;
  const Expr rows = reshape(shares(height, down), {count, 1, height.target, height.extent});
  const Expr columns = reshape(shares(width, across), {count, 1, width.target, width.extent});
  const Expr wide = crops.op("matmul", {{"y", columns.value()}});
  const Expr whole = rows.op("matmul", {{"y", wide.value()}, {"transpose_x", true}});
  if (const auto images = images_of_boxes(v, boxes)) {
    v.add("x", scattered(whole, *images, 0, x));
  } else {
    v.add("x", reshape(reduce_sum(whole, {0}, false), x));
  }
}

}  // namespace

OpDef crop_resize() {
  return OpDef("crop_resize")
      .types("T", {DType::kF16, DType::kF32})
      .input("x", "T")
      .input("roi", "T")
      .input("target_height", DType::kI32, kConst | kOptional, 1)
      .input("target_width", DType::kI32, kConst | kOptional, 1)
      .input("normalized_coordinates", DType::kBool, kConst | kOptional, false)
      .input("spatial_scale", DType::kF32, kConst | kOptional, 1.0)
      .input("box_coordinate_mode", DType::kString, kConst | kOptional, "CORNERS_HEIGHT_FIRST")
      .input("sampling_mode", DType::kString, kConst | kOptional, "DEFAULT")
      .since(Opset::kIos16,
             [](OpDef& def) { def.input("pad_value", "T", kConst | kOptional, 0.0); })
      .since(Opset::kIos17,
             [](OpDef& def) {
               def.types("BOX_T", {DType::kF16, DType::kF32, DType::kU16})
                   .types("BOX_INDEX_T", {DType::kU16, DType::kI32})
                   .remove_input("roi")
                   .input("boxes", "BOX_T")
                   .input("box_indices", "BOX_INDEX_T", kOptional);
             })
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
