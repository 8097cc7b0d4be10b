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
// A crop is rows^T x columns, where rows [target h, h] and columns hold what each element counts at
// each sample. Boxes are inputs: where their samples lie, a crop of an image of coordinates tells.

// [boxes, 2, target h, target w]: 1 + the row and 1 + the column of each sample; 0 outside.
Expr sampled_coordinates(const Vjp& v, const Expr& boxes, DType wide) {
  const int64_t height = v.shape("x")[2], width = v.shape("x")[3];
  Tensor image(DType::kF64, {1, 2, height, width});
  for (int64_t i = 0; i < height * width; ++i) {
    const int64_t row = i / width, column = i % width;
    image.set_number(i, static_cast<double>(1 + row));
    image.set_number(height * width + i, static_cast<double>(1 + column));
  }
  std::vector<Argument> arguments =
      same_inputs(v, {"target_height", "target_width", "normalized_coordinates", "spatial_scale",
                      "box_coordinate_mode", "sampling_mode"});
  const Shape& shape = boxes.shape();
  if (has_roi(v)) {
    // Without the index of an image: there is one.
    const Shape four{shape[0], 1, 4, 1, 1};
    arguments.emplace_back("roi", slice(boxes, {0, 0, shape[2] - 4, 0, 0}, four).value());
  } else {
    const std::vector<int64_t> first(static_cast<size_t>(shape[0]), 0);
    arguments.emplace_back("boxes", boxes.value());
    arguments.emplace_back("box_indices", integers(v.builder(), first, {shape[0]}).value());
  }
  const Expr seen = Expr(v.builder(), v.builder().constant(Constant::tensor(image.to(wide))))
                        .op("crop_resize", arguments);
  const Shape& y = seen.shape();
  return reshape(seen, {shape[0], 2, y[y.size() - 2], y[y.size() - 1]});
}

Expr largest(const Expr& x, int64_t axis) {
  return x.op("reduce_max", {{"axes", std::vector<int64_t>{axis}}, {"keep_dims", true}});
}

// [boxes, 1, target, extent]: linear between the elements, nothing outside of them. `at` [boxes, 1,
// target, 1] counts from 1.
Expr shares(const Expr& at, int64_t extent) {
  Tensor after(DType::kF64, {1, 1, 1, extent});
  for (int64_t i = 0; i < extent; ++i) after.set_number(i, static_cast<double>(i + 2));
  const Expr falling = constant_like(at, after) - at, rising = 2.0 - falling;
  return falling.op("minimum", {{"y", rising.value()}}).op("relu");
}

// Which image each box is of, as int32; nullopt: all of them.
std::optional<Expr> images_of_boxes(const Vjp& v, const Expr& boxes) {
  const int64_t count = boxes.shape()[0];
  if (has_roi(v)) {
    if (boxes.shape()[2] == 4) return std::nullopt;
    return as(reshape(slice(boxes, {0, 0, 0, 0, 0}, {count, 1, 1, 1, 1}), {count}), DType::kI32);
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
  const Shape x = v.shape("x");
  const DType wide = g.dtype() == DType::kF64 ? DType::kF64 : DType::kF32;
  const Expr given = operand(v, input), boxes = has_roi(v) ? as(given, wide) : given;
  const Expr seen = sampled_coordinates(v, boxes, wide);
  const int64_t count = seen.shape()[0], height = seen.shape()[2], width = seen.shape()[3];
  const Expr crops =
      reshape(g, {count, count_of(g.shape()) / (count * height * width), height, width});
  const auto channel = [&](int64_t which) {
    return slice(seen, {0, which, 0, 0}, {count, 1, height, width});
  };
  const Expr row = channel(0), column = channel(1);
  if (v.wants("pad_value")) {
    v.add("pad_value", sum_for(v, "pad_value", crops * as_number(row < 0.5, crops)));
  }
  if (!v.wants("x")) return;
  const Expr rows = as(shares(largest(row, 3), x[2]), g.dtype());
  const Expr columns = as(shares(transpose(largest(column, 2), {0, 1, 3, 2}), x[3]), g.dtype());
  const Expr whole = matmul(rows, matmul(crops, columns), true);
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
             [](OpDef& def) { def.input("pad_value", "T", kConst | kOptional | kNoWeight, 0.0); })
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
