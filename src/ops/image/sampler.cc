// Gradients of reading images at points. A point reads pixels around it, four or the nearest:
//   y[point] = sum over them of share[point, pixel] * x[pixel]
#include "ops/image/sampler.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

constexpr int64_t kCountedPixels = int64_t{1} << 24;  // fp32 holds their numbers exactly

// A constant for each pixel read, and each of its coordinates (column, row): [1, 1, 4, 2].
template <class Number>
Expr by_corner(const Expr& like, const Number& number) {
  Tensor tensor(DType::kF64, {1, 1, 4, 2});
  for (int64_t i = 0; i < 8; ++i) {
    const int64_t corner = i / 2, axis = i % 2;
    tensor.set_number(i, static_cast<double>(number(axis, axis == 0 ? corner % 2 : corner / 2)));
  }
  return constant_like(like, tensor);
}

// The pixels lie in a table, a row each. With constant padding the image's last row is the padding
// value, which lies wherever there is no pixel.
class Reading {
 public:
  Reading(const Vjp& v, const Sampler& s, const Expr& points)
      : v_(v),
        s_(s),
        x_(v.shape("x")),
        rows_(rows_of_image(s, x_)),
        points_(points.shape()[0]),
        each_(s.bilinear ? 4 : 1),
        g_(by_point(grad(v))),
        position_(in_pixels(points)),
        low_(s.bilinear ? position_.op("floor") : position_),
        factors_(factors()),
        places_(places()) {}

  void add_to_image_and_padding(Vjp& v) const {
    Expr parts = g_;
    if (factors_) {
      const Shape one{1, points_, each_, 1};
      parts = parts * (slice(*factors_, {0, 0, 0, 0}, one) * slice(*factors_, {0, 0, 0, 1}, one));
    }
    const Expr sums = reshape(
        scattered(reshape(parts, {points_ * each_, x_[1]}), places_, 0, {x_[0] * rows_, x_[1]}),
        {x_[0], rows_, x_[1]});
    const int64_t pixels = x_[2] * x_[3];
    if (v.wants("x")) {
      const Expr images = slice(sums, {0, 0, 0}, {x_[0], pixels, x_[1]});
      v.add("x", reshape(transpose(images, {0, 2, 1}), x_));
    }
    if (v.wants("padding_value") && rows_ > pixels) {
      const Expr beyond = slice(sums, {0, pixels, 0}, {x_[0], 1, x_[1]});
      v.add("padding_value", sum_for(v, "padding_value", beyond));
    }
  }

  // [points, 2]: y changes with the shares alone, each of which is a product of two factors.
  [[nodiscard]] std::optional<Expr> of_points() const {
    if (!factors_) return std::nullopt;
    const Expr pixels = reshape(gather(table(), places_, 0), {1, points_, each_, x_[1]});
    const Expr along = reduce_sum(g_ * pixels, {3}, true);
    const double scales[] = {scaling(x_[3]).factor, scaling(x_[2]).factor};
    const Expr direction = by_corner(along, [&](int64_t axis, int64_t side) {
      return scales[axis] * static_cast<double>(2 * side - 1);
    });
    const Expr other = factors_->op("reverse", {{"axes", std::vector<int64_t>{3}}});
    return reduce_sum(along * other * direction, {0, 2}, false);
  }

 private:
  // position = factor * coordinate + shift
  struct Scaling {
    double factor, shift;
  };
  [[nodiscard]] Scaling scaling(int64_t extent) const {
    if (s_.coordinates == Coordinates::kPixels) return {1, 0};
    const auto n = static_cast<double>(extent);
    const double length = s_.align_corners ? n - 1 : n;
    const double half = s_.coordinates == Coordinates::kMinusOneToOne ? 0.5 : 0;
    return {half != 0 ? length / 2 : length, half * length - (s_.align_corners ? 0 : 0.5)};
  }

  static int64_t rows_of_image(const Sampler& s, const Shape& x) {
    const int64_t pixels = x[2] * x[3], rows = pixels + (s.padding == Padding::kConstant ? 1 : 0);
    if (rows > kCountedPixels) {
      fail(ErrorCode::kUnsupported, "x: expected at most {} pixels per image, got {}",
           kCountedPixels, pixels);
    }
    return rows;
  }

  // [images, channels, *] as [1, points, 1, channels].
  [[nodiscard]] Expr by_point(const Expr& y) const {
    const Expr channels = reshape(y, {x_[0], x_[1], points_ / x_[0]});
    return reshape(transpose(channels, {0, 2, 1}), {1, points_, 1, x_[1]});
  }

  // [1, points, 1, 2]; to read the nearest pixel, in the units of the op.
  [[nodiscard]] Expr in_pixels(const Expr& points) const {
    const DType wide = v_.dtype("x") == DType::kF64 ? DType::kF64 : DType::kF32;
    const Expr given = reshape(as(points, wide), {1, points_, 1, 2});
    if (!s_.bilinear || s_.coordinates == Coordinates::kPixels) return given;
    const Scaling column = scaling(x_[3]), row = scaling(x_[2]);
    const auto pair = [&](double a, double b) {
      return constant_like(given, Tensor::from<double>({a, b}, {1, 1, 1, 2}));
    };
    const Expr scaled = given * pair(column.factor, row.factor);
    if (column.shift == 0 && row.shift == 0) return scaled;
    return scaled + pair(column.shift, row.shift);
  }

  // 1 - share of the first side, share of the second.
  [[nodiscard]] std::optional<Expr> factors() const {
    if (!s_.bilinear) return std::nullopt;
    const Expr share = as(position_ - low_, g_.dtype());
    const Expr signs = by_corner(share, [](int64_t, int64_t side) { return 2 * side - 1; });
    return by_corner(share, [](int64_t, int64_t side) { return 1 - side; }) + share * signs;
  }

  // The rows of the table that are read: the nearest pixels of an image of row numbers.
  [[nodiscard]] Expr places() const {
    const int64_t pixels = x_[2] * x_[3], count = points_ * each_;
    std::vector<double> numbers(static_cast<size_t>(pixels));
    std::iota(numbers.begin(), numbers.end(), 0.0);
    Expr coordinates = low_;
    std::vector<Argument> arguments = same_inputs(v_, {"padding_mode"});
    if (s_.bilinear) {
      coordinates = low_ + by_corner(low_, [](int64_t, int64_t side) { return side; });
      arguments.emplace_back("coordinates_mode", "unnormalized");
      arguments.emplace_back("align_corners", true);
    } else {
      const auto units = same_inputs(v_, {"coordinates_mode", "align_corners"});
      arguments.insert(arguments.end(), units.begin(), units.end());
    }
    arguments.emplace_back("coordinates", coordinates.value());
    arguments.emplace_back("sampling_mode", "nearest");
    arguments.push_back(low_.number("padding_value", static_cast<double>(pixels)));
    const Tensor image = Tensor::from(numbers, {1, 1, x_[2], x_[3]});
    const Expr found = constant_like(low_, image).op("resample", arguments);
    std::vector<int64_t> starts;
    for (int64_t i = 0; i < count; ++i) starts.push_back(i / (count / x_[0]) * rows_);
    return as(reshape(found, {count}), DType::kI32) + integers(v_.builder(), starts, {count});
  }

  [[nodiscard]] Expr table() const {
    const int64_t pixels = x_[2] * x_[3];
    Expr rows = transpose(reshape(operand(v_, "x"), {x_[0], x_[1], pixels}), {0, 2, 1});
    if (rows_ > pixels) {
      const Expr padding = reshape(operand(v_, "padding_value"), {1, 1, 1});
      const std::vector<int64_t> times{x_[0], 1, x_[1]};
      rows = concat({rows, padding.op("tile", {{"reps", times}})}, 1);
    }
    return reshape(rows, {x_[0] * rows_, x_[1]});
  }

  const Vjp& v_;
  const Sampler& s_;
  Shape x_;
  int64_t rows_, points_, each_;
  Expr g_;                       // [1, points, 1, channels]
  Expr position_;                // [1, points, 1, 2]
  Expr low_;                     // of the first of the four pixels, or of the point itself
  std::optional<Expr> factors_;  // [1, points, each, 2]; absent: 1
  Expr places_;                  // [points * each], int32
};

}  // namespace

std::optional<Expr> sampling_rule(Vjp& v, const Sampler& s, const Expr& points, bool wanted) {
  const Reading reading(v, s, points);
  if (v.wants("x") || v.wants("padding_value")) reading.add_to_image_and_padding(v);
  return wanted ? reading.of_points() : std::nullopt;
}

}  // namespace mw::ops
