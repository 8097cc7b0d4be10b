// The sliding windows of convolution and pooling: how a window of `kernel` elements, `dilation`
// apart, moves over each spatial axis of x [n, C, *D].
#pragma once

#include <array>
#include <vector>

#include "ops/support.h"

namespace mw::ops {

// One spatial axis. Unknown extents (kAny) only during inference.
struct Window {
  int64_t in = 0, kernel = 1, stride = 1, dilation = 1;
  int64_t before = 0, after = 0;  // elements added to the ends of the axis
  int64_t out = 0;                // positions of the window
};

// The largest kernel, stride, dilation or padding: products of two of them do not overflow.
inline constexpr int64_t kLargestStep = 0x7fffffff;

// A list input with one value per spatial axis, each in [low, kLargestStep]; ones when absent.
std::vector<int64_t> per_axis(const OpView& op, std::string_view input, size_t axes, int64_t low);

enum class PadType : uint8_t { kValid, kSame, kSameLower, kCustom };
PadType pad_type_of(const OpView& op);
// `pad` as two values per axis, zeros unless pad_type is custom.
std::vector<int64_t> custom_pad(const OpView& op, PadType type, size_t axes);

// Windows of a convolution or pooling over x, from the inputs strides, dilations (if the op has
// any), pad_type, pad and ceil_mode (likewise). Throws when a window does not fit into its axis.
std::vector<Window> windows_of(const OpView& op, const std::vector<int64_t>& kernel);

// Those of conv_transpose, read backwards: `in` is the extent of x and `out` that of the result, of
// which `before` elements are cut off at the front.
std::vector<Window> windows_of_transpose(const OpView& op);

// The last three axes of a list, `fill` in front of fewer: every layout is three-dimensional.
using Three = std::array<int64_t, 3>;
Three three(const std::vector<int64_t>& values, int64_t fill);

}  // namespace mw::ops
