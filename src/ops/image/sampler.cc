// Gradients of reading images at points. With n the points of all images, and i, j their neighbours
// along rows and columns:
//   y[n] = sum over i, j of down[i, n] * right[j, n] * pixel[i, j, n]
#include "ops/image/sampler.h"

#include <algorithm>

#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

// One neighbour of each point along one axis, as vectors over the points.
struct Side {
  Expr element;
  std::optional<Expr> inside;  // flags; absent: always
  std::optional<Expr> share;   // absent: 1
};
struct Neighbourhood {
  std::vector<Side> sides;
  double scale;  // elements per unit of the coordinate
};

Side side_at(const Sampler& s, const Expr& index, int64_t extent) {
  const auto n = static_cast<double>(extent);
  if (s.padding == Padding::kReflection || s.padding == Padding::kSymmetric) {
    const bool symmetric = s.padding == Padding::kSymmetric;
    const double period = std::max(1.0, symmetric ? 2 * n : 2 * (n - 1));
    const Expr within = index.op("mod", {index.number("y", period)});
    const Expr mirrored = (symmetric ? period - 1 : period) - within;
    return {within.op("minimum", {{"y", mirrored.value()}}), std::nullopt, std::nullopt};
  }
  const Expr held =
      index.op("maximum", {index.number("y", 0)}).op("minimum", {index.number("y", n - 1)});
  if (s.padding == Padding::kBorder) return {held, std::nullopt, std::nullopt};
  return {held, equal(held, index), std::nullopt};
}

Neighbourhood neighbourhood_of(const Sampler& s, const Expr& coordinate, int64_t extent) {
  const auto n = static_cast<double>(extent);
  double scale = 1, shift = 0;
  if (s.coordinates != Coordinates::kPixels) {
    const double length = s.align_corners ? n - 1 : n;
    const double half = s.coordinates == Coordinates::kMinusOneToOne ? 0.5 : 0;
    scale = half != 0 ? length / 2 : length;
    shift = half * length - (s.align_corners ? 0 : 0.5);
  }
  const Expr scaled = scale == 1 ? coordinate : coordinate * scale;
  const Expr position = shift == 0 ? scaled : scaled + shift;
  const Expr low = (s.bilinear ? position : position + 0.5).op("floor");
  Neighbourhood result{{side_at(s, low, extent)}, scale};
  if (!s.bilinear) return result;
  result.sides.push_back(side_at(s, low + 1.0, extent));
  result.sides[1].share = position - low;
  result.sides[0].share = 1.0 - *result.sides[1].share;
  return result;
}

// The neighbours of all points, [n] each; pixels lie in rows [image and place, channel].
class PointsOfImages {
 public:
  // points [images, points of each, 2]
  PointsOfImages(const Vjp& v, const Sampler& s, const Expr& points)
      : v_(v),
        x_(v.shape("x")),
        columns_(axis(s, points, 0, x_[3])),
        rows_(axis(s, points, 1, x_[2])),
        g_(by_point(grad(v), points.shape()[1])) {}

  void add_to_image(Vjp& v) const {
    std::vector<Value*> parts, places;
    for (const Side& i : rows_.sides) {
      for (const Side& j : columns_.sides) {
        Expr part = g_;
        if (i.share) part = part * column(*i.share * *j.share);
        if (i.inside) part = select(column(inside(i, j)), part, 0.0);
        parts.push_back(part);
        places.push_back(place(i, j));
      }
    }
    const Expr sums = scattered(joined(parts), joined(places), 0, {x_[0] * x_[2] * x_[3], x_[1]});
    v.add("x", transpose(reshape(sums, {x_[0], x_[2], x_[3], x_[1]}), {0, 3, 1, 2}));
  }

  // The padding value counts as a pixel wherever there is none.
  void add_to_padding(Vjp& v) const {
    for (const Side& i : rows_.sides) {
      for (const Side& j : columns_.sides) {
        if (!i.inside) return;
        Expr part = g_;
        if (i.share) part = part * column(*i.share * *j.share);
        const Expr outside = inside(i, j).op("logical_not");
        part = part * as_number(column(outside), part);
        v.add("padding_value", sum_for(v, "padding_value", part));
      }
    }
  }

  // [images, points of each, 2]: y changes with the shares alone.
  [[nodiscard]] Expr of_points() const {
    const Expr pixels =
        reshape(transpose(operand(v_, "x"), {0, 2, 3, 1}), {x_[0] * x_[2] * x_[3], x_[1]});
    std::optional<Expr> slopes[2];  // by column and row
    for (const Side& i : rows_.sides) {
      for (const Side& j : columns_.sides) {
        Expr pixel = gather(pixels, place(i, j), 0);
        if (i.inside) pixel = select(column(inside(i, j)), pixel, operand(v_, "padding_value"));
        const Expr along = reduce_sum(g_ * pixel, {1}, false);
        const auto add = [&](std::optional<Expr>& slope, const Expr& part, bool high) {
          if (!slope) {
            slope = part * -1.0;
          } else {
            slope = high ? *slope + part : *slope - part;
          }
        };
        add(slopes[0], along * *i.share, &j == &columns_.sides[1]);
        add(slopes[1], along * *j.share, &i == &rows_.sides[1]);
      }
    }
    const auto scaled = [](const Expr& slope, double scale) {
      return scale == 1 ? slope : slope * scale;
    };
    const std::vector<Value*> both{scaled(*slopes[0], columns_.scale),
                                   scaled(*slopes[1], rows_.scale)};
    const Expr pairs(v_.builder(), v_.builder().op("stack", {{"values", both}, {"axis", 1}}));
    return reshape(pairs, {x_[0], g_.shape()[0] / x_[0], 2});
  }

 private:
  static Neighbourhood axis(const Sampler& s, const Expr& points, int64_t which, int64_t extent) {
    const Shape& shape = points.shape();
    const Expr part = slice(points, {0, 0, which}, {shape[0], shape[1], 1});
    return neighbourhood_of(s, reshape(part, {shape[0] * shape[1]}), extent);
  }
  // [images, channels, h, w] as [image and point, channel].
  [[nodiscard]] Expr by_point(const Expr& y, int64_t points) const {
    const Expr flat = reshape(y, {x_[0], x_[1], points});
    return reshape(transpose(flat, {0, 2, 1}), {x_[0] * points, x_[1]});
  }
  static Expr column(const Expr& vector) { return reshape(vector, {vector.shape()[0], 1}); }
  static Expr inside(const Side& i, const Side& j) {
    return i.inside->op("logical_and", {{"y", j.inside->value()}});
  }
  [[nodiscard]] Expr place(const Side& i, const Side& j) const {
    const Expr row = as(i.element, DType::kI32), at = as(j.element, DType::kI32);
    const int64_t points = row.shape()[0], each = points / x_[0];
    std::vector<int64_t> starts;
    for (int64_t n = 0; n < points; ++n) starts.push_back(n / each * x_[2] * x_[3]);
    const Expr within = row * static_cast<double>(x_[3]) + at;
    return within + integers(v_.builder(), starts, {points});
  }
  [[nodiscard]] Expr joined(const std::vector<Value*>& parts) const {
    if (parts.size() == 1) return {v_.builder(), parts[0]};
    return {v_.builder(), v_.builder().op("concat", {{"values", parts}, {"axis", 0}})};
  }

  const Vjp& v_;
  Shape x_;
  Neighbourhood columns_, rows_;
  Expr g_;
};

}  // namespace

std::optional<Expr> sampling_rule(Vjp& v, const Sampler& s, const Expr& points, bool wanted) {
  const PointsOfImages sampled(v, s, points);
  if (v.wants("x")) sampled.add_to_image(v);
  if (v.wants("padding_value")) sampled.add_to_padding(v);
  if (!wanted || !s.bilinear) return std::nullopt;
  return sampled.of_points();
}

}  // namespace mw::ops
