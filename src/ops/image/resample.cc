// resample, affine: images x [B, C, H, W] sampled at given or transformed coordinates (column,
// row).
#include <algorithm>
#include <cctype>
#include <cmath>

#include "ops/image/sampler.h"
#include "ops/shape/rules.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

std::string lower_text(const OpView& op, std::string_view input) {
  std::string text = op.text(input);
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

Padding padding_of(const OpView& op) {
  const std::string name = lower_text(op, "padding_mode");
  if (name == "constant") return Padding::kConstant;
  if (name == "border") return Padding::kBorder;
  if (name == "reflection") return Padding::kReflection;
  if (name == "symmetric") return Padding::kSymmetric;
  op.reject("padding_mode", "expected 'constant', 'border', 'reflection' or 'symmetric', got '{}'",
            name);
}

Coordinates coordinates_of(const OpView& op) {
  const std::string name = lower_text(op, "coordinates_mode");
  if (name == "unnormalized") return Coordinates::kPixels;
  if (name == "normalized_minus_one_to_one") return Coordinates::kMinusOneToOne;
  if (name == "normalized_zero_to_one") return Coordinates::kZeroToOne;
  op.reject("coordinates_mode",
            "expected 'unnormalized', 'normalized_minus_one_to_one' or 'normalized_zero_to_one', "
            "got '{}'",
            name);
}

Sampler sampler_of(const OpView& op) {
  const std::string sampling = lower_text(op, "sampling_mode");
  if (sampling != "bilinear" && sampling != "nearest") {
    op.reject("sampling_mode", "expected 'bilinear' or 'nearest', got '{}'", sampling);
  }
  return {sampling == "bilinear", op.flag("align_corners"), padding_of(op), coordinates_of(op),
          op.number("padding_value")};
}

// A coordinate in elements of an axis, held to what can be counted.
double to_position(const Sampler& s, double coordinate, int64_t extent) {
  constexpr double kFar = 0x1p50;
  const auto n = static_cast<double>(extent);
  double position = coordinate;
  if (s.coordinates != Coordinates::kPixels) {
    const double unit =
        s.coordinates == Coordinates::kZeroToOne ? coordinate : (coordinate + 1) / 2;
    position = s.align_corners ? unit * (n - 1) : unit * n - 0.5;
  }
  return std::clamp(position, -kFar, kFar);
}

// The element that stands at `index` of the padded axis; -1 where the padding value does.
int64_t element_at(const Sampler& s, double index, int64_t extent) {
  const auto n = static_cast<double>(extent);
  if (index >= 0 && index < n) return static_cast<int64_t>(index);
  if (s.padding == Padding::kConstant) return -1;
  if (std::isnan(index) || extent == 1) return 0;
  if (s.padding == Padding::kBorder) return index < 0 ? 0 : extent - 1;
  const bool symmetric = s.padding == Padding::kSymmetric;
  const double period = symmetric ? 2 * n : 2 * (n - 1);
  double within = std::fmod(index, period);
  if (within < 0) within += period;
  const double last = symmetric ? period - 1 : period;
  return static_cast<int64_t>(within < n ? within : last - within);
}

// The elements of x around one point: those of each axis, and the share of the second.
struct Neighbours {
  int64_t rows[2], columns[2];
  double down, right;
};
Neighbours neighbours_of(const Sampler& s, double column, double row, int64_t height,
                         int64_t width) {
  Neighbours n{};
  const auto axis = [&](double coordinate, int64_t extent, int64_t* elements) {
    const double position = to_position(s, coordinate, extent);
    const double low = std::floor(s.bilinear ? position : position + 0.5);
    elements[0] = element_at(s, low, extent);
    elements[1] = s.bilinear ? element_at(s, low + 1, extent) : elements[0];
    return s.bilinear ? position - low : 0;
  };
  n.down = axis(row, height, n.rows);
  n.right = axis(column, width, n.columns);
  return n;
}

template <class T>
double value_at(const Sampler& s, const Neighbours& n, const T* plane, int64_t width) {
  const auto pixel = [&](int i, int j) {
    const bool padding = n.rows[i] < 0 || n.columns[j] < 0;
    return padding ? s.padding_value : static_cast<double>(plane[n.rows[i] * width + n.columns[j]]);
  };
  // An element with no share is left out: it may be infinite.
  const auto mix = [](double a, double b, double share) {
    return share == 0 ? a : (1 - share) * a + share * b;
  };
  return mix(mix(pixel(0, 0), pixel(0, 1), n.right), mix(pixel(1, 0), pixel(1, 1), n.right),
             n.down);
}

// y [B, C, H2, W2]; point(b, h, w) gives the coordinates {column, row}.
template <class Point>
void sample(Eval& e, const Sampler& s, const Point& point) {
  const Tensor& x = e.in("x");
  Tensor& y = e.out();
  if (y.count() == 0) return;
  const int64_t channels = x.dim(1), height = x.dim(2), width = x.dim(3);
  const int64_t plane = height * width, out_plane = y.dim(2) * y.dim(3);
  dispatch_float(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for (int64_t b = 0; b < x.dim(0); ++b) {
      for (int64_t i = 0; i < out_plane; ++i) {
        const auto [column, row] = point(b, i / y.dim(3), i % y.dim(3));
        const Neighbours n = neighbours_of(s, column, row, height, width);
        for (int64_t c = b * channels; c < (b + 1) * channels; ++c) {
          y.mutable_data<T>()[c * out_plane + i] =
              static_cast<T>(value_at(s, n, x.data<T>() + c * plane, width));
        }
      }
    }
  });
}

void expect_image(const OpView& op) {
  expect_float(op, "x");
  expect_rank(op, "x", 4, 4);
  const Shape x = op.shape("x");
  if (x[2] == 0 || x[3] == 0) op.reject("x", "expected an image, got shape {}", to_string(x));
}

Type infer_resample(const OpView& op) {
  expect_image(op);
  (void)sampler_of(op);
  const Type x = op.tensor_type("x");
  expect_numeric(op, "coordinates");
  expect_shape(op, "coordinates", {x.shape()[0], kAny, kAny, 2});
  const Shape at = op.shape("coordinates");
  return Type::tensor(x.dtype(),
                      {x.shape()[0] == kAny ? at[0] : x.shape()[0], x.shape()[1], at[1], at[2]});
}

void evaluate_resample(Eval& e) {
  const Tensor at = e.in("coordinates").to(DType::kF64);
  sample(e, sampler_of(e), [&](int64_t b, int64_t h, int64_t w) {
    const double* pair = at.data<double>() + ((b * at.dim(1) + h) * at.dim(2) + w) * 2;
    return std::pair(pair[0], pair[1]);
  });
}

// What MIL allows of affine; it has the parameters of resample.
Sampler affine_sampler(const OpView& op) {
  const Sampler s = sampler_of(op);
  if (!s.bilinear) op.reject("sampling_mode", "expected 'bilinear', got 'nearest'");
  if (s.padding != Padding::kConstant) {
    op.reject("padding_mode", "expected 'constant', got '{}'", lower_text(op, "padding_mode"));
  }
  if (s.coordinates != Coordinates::kMinusOneToOne) {
    op.reject("coordinates_mode", "expected 'normalized_minus_one_to_one', got '{}'",
              lower_text(op, "coordinates_mode"));
  }
  return s;
}

Type infer_affine(const OpView& op) {
  expect_image(op);
  (void)affine_sampler(op);
  const Type x = op.tensor_type("x");
  expect_float(op, "transform_matrix");
  expect_shape(op, "transform_matrix", {kAny, 6});
  const int64_t matrices = op.shape("transform_matrix")[0], images = x.shape()[0];
  if (matrices != 1 && matrices != images && matrices != kAny && images != kAny) {
    op.reject("transform_matrix", "expected 1 or {} matrices, got {}", images, matrices);
  }
  Shape shape{images, x.shape()[1]};
  for (const char* input : {"output_height", "output_width"}) {
    shape.push_back(op.integer(input));
    if (shape.back() < 1) op.reject(input, "expected 1 or more, got {}", shape.back());
  }
  return Type::tensor(x.dtype(), shape);
}

// Element i of n as a coordinate in [-1, 1].
double coordinate(const Sampler& s, int64_t i, int64_t n) {
  const auto at = static_cast<double>(i), count = static_cast<double>(n);
  if (!s.align_corners) return (2 * at + 1) / count - 1;
  return n == 1 ? -1 : 2 * at / (count - 1) - 1;
}

void evaluate_affine(Eval& e) {
  const Sampler s = affine_sampler(e);
  const Tensor matrix = e.in("transform_matrix").to(DType::kF64);
  const Shape to = e.result_type().shape();
  sample(e, s, [&](int64_t b, int64_t h, int64_t w) {
    const double* a = matrix.data<double>() + (matrix.dim(0) == 1 ? 0 : 6 * b);
    const double x = coordinate(s, w, to[3]), y = coordinate(s, h, to[2]);
    return std::pair(a[0] * x + a[1] * y + a[2], a[3] * x + a[4] * y + a[5]);
  });
}

// --- gradients -------------------------------------------------------------------------------

void resample_rule(Vjp& v) {
  if (count_of(grad(v).shape()) == 0) return;
  const Shape at = v.shape("coordinates");
  const Expr points = reshape(operand(v, "coordinates"), {at[0] * at[1] * at[2], 2});
  if (const auto slope = sampling_rule(v, sampler_of(v), points, v.wants("coordinates"))) {
    v.add("coordinates", as(reshape(*slope, at), v.dtype("coordinates")));
  }
}

// points = [x, y, 1] of each element of the result, times the matrix [2, 3].
void affine_rule(Vjp& v) {
  const Shape y = v.out()->type.shape();
  if (count_of(y) == 0) return;
  const Sampler s = affine_sampler(v);
  const int64_t count = y[2] * y[3];
  Tensor elements(DType::kF64, {count, 3});
  for (int64_t i = 0; i < count; ++i) {
    elements.set_number(3 * i, coordinate(s, i % y[3], y[3]));
    elements.set_number(3 * i + 1, coordinate(s, i / y[3], y[2]));
    elements.set_number(3 * i + 2, 1);
  }
  const Expr matrix = operand(v, "transform_matrix"), grid = constant_like(grad(v), elements);
  const int64_t matrices = matrix.shape()[0];
  Expr points =
      grid.op("matmul", {{"y", reshape(matrix, {matrices, 2, 3}).value()}, {"transpose_y", true}});
  if (matrices != y[0]) points = points.op("tile", {{"reps", std::vector<int64_t>{y[0], 1, 1}}});
  const Expr flat = reshape(points, {y[0] * count, 2});
  if (const auto slope = sampling_rule(v, s, flat, v.wants("transform_matrix"))) {
    const Expr each = matmul(reshape(*slope, {y[0], count, 2}), grid, true);
    v.add("transform_matrix", reshape(each, {y[0], 6}));
  }
}

OpDef sampling_op(const char* name) {
  return std::move(OpDef(name)
                       .types("T", {DType::kF16, DType::kF32})
                       .input("x", "T")
                       .input("sampling_mode", DType::kString, kConst)
                       .input("padding_mode", DType::kString, kConst)
                       .input("padding_value", "T", kConst | kNoWeight)
                       .input("coordinates_mode", DType::kString, kConst)
                       .input("align_corners", DType::kBool, kConst));
}

}  // namespace

OpDef resample() {
  return sampling_op("resample")
      .types("U", {DType::kI32, DType::kF32})
      .input("coordinates", "U", kNoWeight)
      .since(Opset::kIos16,
             [](OpDef& def) {
               def.types("U", {DType::kI32, DType::kF16, DType::kF32});
             })
      .since(Opset::kIos17,
             [](OpDef& def) {
               def.types("U", {DType::kI8, DType::kU8, DType::kI16, DType::kU16, DType::kI32,
                               DType::kF16, DType::kF32});
             })
      .infer(infer_resample)
      .eval(evaluate_resample)
      .vjp(resample_rule);
}

OpDef affine() {
  return sampling_op("affine")
      .input("transform_matrix", "T", kNoWeight)
      .input("output_height", DType::kI32, kConst)
      .input("output_width", DType::kI32, kConst)
      .infer(infer_affine)
      .eval(evaluate_affine)
      .vjp(affine_rule);
}

}  // namespace mw::ops
