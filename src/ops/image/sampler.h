// How resample and affine read images at points, and the gradients of such a reading.
#pragma once

#include <optional>

#include "ops/expr.h"

namespace mw::ops {

enum class Padding : uint8_t { kConstant, kBorder, kReflection, kSymmetric };
enum class Coordinates : uint8_t { kPixels, kMinusOneToOne, kZeroToOne };

struct Sampler {
  bool bilinear = true, align_corners = true;
  Padding padding = Padding::kConstant;
  Coordinates coordinates = Coordinates::kMinusOneToOne;
  double padding_value = 0;
};

// Of a rule of an op with inputs x [images, channels, h, w] and padding_value that reads x at
// points [points of all images, 2] of (column, row): adds the gradients of both inputs. Returns
// that of the points, where it is wanted and not zero.
std::optional<Expr> sampling_rule(Vjp& v, const Sampler& s, const Expr& points, bool wanted);

}  // namespace mw::ops
