// References for crop_resize, resample and affine: one point after the other.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "ops/op_case.h"
#include "ops/support.h"

namespace mw::ops {

// The pixel at row r and column c of the plane that starts at `at`.
inline double pixel(const Tensor& x, int64_t at, int64_t r, int64_t c) {
  return x.number_at(at + r * x.dim(-1) + c);
}

// Where element i of an axis lies that goes on beyond its ends; -1: nowhere.
inline int64_t folded(int64_t i, int64_t n, const std::string& padding) {
  if (padding == "constant") return i < 0 || i >= n ? -1 : i;
  if (padding == "border") return std::max<int64_t>(0, std::min(i, n - 1));
  if (n == 1) return 0;
  const int64_t low = padding == "symmetric" ? -1 : 0, high = padding == "symmetric" ? 1 : 0;
  while (i < 0 || i >= n) i = i < 0 ? low - i : 2 * (n - 1) + high - i;
  return i;
}

// One point of a plane; `column` and `row` in pixels.
inline double sampled(const OpCase& c, int64_t plane, double column, double row) {
  const Tensor& x = c["x"];
  const std::string padding = c["padding_mode"].data<std::string>()[0];
  const bool bilinear = c["sampling_mode"].data<std::string>()[0] == "bilinear";
  const auto at = [&](double down, double right) {
    const int64_t r = folded(static_cast<int64_t>(down), x.dim(2), padding);
    const int64_t k = folded(static_cast<int64_t>(right), x.dim(3), padding);
    if (r < 0 || k < 0) return c["padding_value"].number_at(0);
    return pixel(x, plane * x.dim(2) * x.dim(3), r, k);
  };
  if (!bilinear) return at(std::floor(row + 0.5), std::floor(column + 0.5));
  const double r = std::floor(row), k = std::floor(column), down = row - r, right = column - k;
  return (1 - down) * ((1 - right) * at(r, k) + right * at(r, k + 1)) +
         down * ((1 - right) * at(r + 1, k) + right * at(r + 1, k + 1));
}

inline double in_pixels(const OpCase& c, double coordinate, int64_t extent) {
  const std::string mode = c["coordinates_mode"].data<std::string>()[0];
  if (mode == "unnormalized") return coordinate;
  const double unit = mode == "normalized_zero_to_one" ? coordinate : (coordinate + 1) / 2;
  const auto n = static_cast<double>(extent);
  return c.ints("align_corners")[0] != 0 ? unit * (n - 1) : unit * n - 0.5;
}

inline std::vector<Tensor> reference_resample(const OpCase& c) {
  const Tensor &x = c["x"], &at = c["coordinates"];
  Tensor y(DType::kF64, {x.dim(0), x.dim(1), at.dim(1), at.dim(2)});
  const int64_t points = at.dim(1) * at.dim(2);
  for (int64_t i = 0; i < y.count(); ++i) {
    const int64_t plane = i / points, point = plane / x.dim(1) * points + i % points;
    y.set_number(i, sampled(c, plane, in_pixels(c, at.number_at(2 * point), x.dim(3)),
                            in_pixels(c, at.number_at(2 * point + 1), x.dim(2))));
  }
  return {y};
}

inline std::vector<Tensor> reference_affine(const OpCase& c) {
  const Tensor &x = c["x"], &matrix = c["transform_matrix"];
  const int64_t height = c.ints("output_height")[0], width = c.ints("output_width")[0];
  Tensor y(DType::kF64, {x.dim(0), x.dim(1), height, width});
  const auto coordinate = [&](int64_t i, int64_t n) {
    const auto at = static_cast<double>(i), count = static_cast<double>(n);
    if (c.ints("align_corners")[0] == 0) return (2 * at + 1) / count - 1;
    return n == 1 ? -1 : 2 * at / (count - 1) - 1;
  };
  for (int64_t i = 0; i < y.count(); ++i) {
    const int64_t plane = i / (height * width), image = plane / x.dim(1);
    const int64_t from = matrix.dim(0) == 1 ? 0 : 6 * image;
    const double u = coordinate(i % width, width), v = coordinate(i / width % height, height);
    const auto row = [&](int64_t k) {
      return matrix.number_at(from + k) * u + matrix.number_at(from + k + 1) * v +
             matrix.number_at(from + k + 2);
    };
    y.set_number(i,
                 sampled(c, plane, in_pixels(c, row(0), x.dim(3)), in_pixels(c, row(3), x.dim(2))));
  }
  return {y};
}

// Sample i of `out` on the way from `start` to `end`.
inline double on_the_way(const std::string& mode, double start, double end, int64_t extent,
                         int64_t out, int64_t i) {
  if (mode == "UNALIGN_CORNERS" && end < start) start = 0, end = static_cast<double>(extent - 1);
  const double length = std::fabs(end - start), n = static_cast<double>(out);
  const auto at = static_cast<double>(i);
  double distance = 0;
  if (mode == "STRICT_ALIGN_CORNERS") distance = out == 1 ? 0 : length * at / (n - 1);
  if (mode == "ALIGN_CORNERS") distance = out == 1 ? length / 2 : length * at / (n - 1);
  if (mode == "DEFAULT") distance = at * (length + 1) / n;
  if (mode == "OFFSET_CORNERS") distance = (at + 0.5) * std::max(1.0, length) / n;
  if (mode == "UNALIGN_CORNERS") distance = (at + 0.5) * (length + 1) / n - 0.5;
  if (mode != "OFFSET_CORNERS") distance = std::max(0.0, std::min(distance, length));
  return end < start ? start - distance : start + distance;
}

// Crops of x by boxes of four numbers from `first` of rows of `width` on; image(n) tells of which.
inline Tensor cropped(const OpCase& c, const Tensor& boxes, int64_t width, int64_t first,
                      const std::vector<int64_t>& images) {
  const Tensor& x = c["x"];
  const int64_t targets[] = {c.ints("target_height")[0], c.ints("target_width")[0]};
  const std::string mode = c["sampling_mode"].data<std::string>()[0];
  const std::string order = c.has("box_coordinate_mode")
                                ? c["box_coordinate_mode"].data<std::string>()[0]
                                : "CORNERS_HEIGHT_FIRST";
  const bool normalized = c.has("normalized_coordinates");
  const auto count = static_cast<int64_t>(images.size());
  Tensor y(DType::kF64, {count, x.dim(1), targets[0], targets[1]});
  for (Walk<0> w(y.shape(), {}); !w.done(); w.next()) {
    const int64_t n = w.index()[0];
    double at[2];
    bool outside = false;
    for (int64_t axis = 0; axis < 2; ++axis) {
      const int64_t extent = x.dim(2 + axis);
      const int64_t which = (axis == 0) == order.ends_with("HEIGHT_FIRST") ? 0 : 1;
      const double unit =
          c.number("spatial_scale", 1) * (normalized ? static_cast<double>(extent - 1) : 1);
      double a = boxes.number_at(n * width + first + which) * unit;
      double b = boxes.number_at(n * width + first + which + 2) * unit;
      if (order.starts_with("CENTER")) a -= b / 2, b += a;
      at[axis] = on_the_way(mode, a, b, extent, targets[axis], w.index()[2 + axis]);
      outside = outside || at[axis] < 0 || at[axis] > static_cast<double>(extent - 1);
    }
    double value = c.number("pad_value", 0);
    if (!outside) {
      const int64_t plane =
          (images[static_cast<size_t>(n)] * x.dim(1) + w.index()[1]) * x.dim(2) * x.dim(3);
      value = 0;
      for (int64_t r = 0; r < x.dim(2); ++r) {
        for (int64_t k = 0; k < x.dim(3); ++k) {
          const double down = 1 - std::fabs(at[0] - static_cast<double>(r));
          const double right = 1 - std::fabs(at[1] - static_cast<double>(k));
          if (down > 0 && right > 0) value += down * right * pixel(x, plane, r, k);
        }
      }
    }
    y.set_number(w.flat(), value);
  }
  return y;
}

inline std::vector<Tensor> reference_crop_resize(const OpCase& c) {
  if (!c.has("roi")) {
    std::vector<int64_t> each(static_cast<size_t>(c["boxes"].dim(0)));
    std::iota(each.begin(), each.end(), 0);
    return {cropped(c, c["boxes"], 4, 0, c.has("box_indices") ? c.ints("box_indices") : each)};
  }
  const Tensor& roi = c["roi"];
  const int64_t width = roi.dim(2), count = roi.dim(0);
  std::vector<int64_t> images;
  for (int64_t n = 0; n < count; ++n) images.push_back(roi.integer_at(n * width));
  if (width == 5) {
    const Tensor y = cropped(c, roi, width, 1, images);
    return {y.reshaped({count, 1, y.dim(1), y.dim(2), y.dim(3)})};
  }
  Tensor y(DType::kF64, {count, c["x"].dim(0), c["x"].dim(1), c.ints("target_height")[0],
                         c.ints("target_width")[0]});
  const int64_t one = y.count() / count / c["x"].dim(0);
  for (int64_t image = 0; image < c["x"].dim(0); ++image) {
    const Tensor part = cropped(c, roi, width, 0, std::vector<int64_t>(images.size(), image));
    for (int64_t i = 0; i < part.count(); ++i) {
      y.set_number((i / one * c["x"].dim(0) + image) * one + i % one, part.number_at(i));
    }
  }
  return {y};
}

}  // namespace mw::ops
