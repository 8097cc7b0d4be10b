// Slice arithmetic shared by slice_by_index and slice_update.
#include "ops/shape/slices.h"

#include <algorithm>

#include "base/error.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

constexpr int64_t kMaxStride = int64_t{1}
                               << 40;  // beyond any extent; keeps the sums below in range

// A bound of a slice: masked (or not known before the run) when not given.
struct Position {
  bool given = false;
  int64_t value = 0;
};

std::vector<bool> mask(const OpView& op, std::string_view input, size_t rank) {
  if (!op.has(input)) return std::vector<bool>(rank, false);
  std::vector<bool> flags = op.flags(input);
  if (flags.size() != rank) {
    op.reject(input, "expected {} flags, one per axis of x, got {}", rank, flags.size());
  }
  return flags;
}

std::vector<int64_t> strides(const OpView& op, size_t rank) {
  std::vector<int64_t> values = op.ints_or("stride", std::vector<int64_t>(rank, 1));
  if (values.size() != rank) {
    op.reject("stride", "expected {} strides, one per axis of x, got {}", rank, values.size());
  }
  for (int64_t& value : values) {
    if (value == 0) op.reject("stride", "expected strides other than 0, got 0");
    value = std::clamp(value, -kMaxStride, kMaxStride);
  }
  return values;
}

Slice squeezed(const OpView& op, int64_t extent, Position begin, size_t axis) {
  if (!begin.given || extent == kAny) {
    return {.begin = kAny, .stride = 1, .count = 1, .squeezed = true};
  }
  const int64_t index = begin.value < 0 ? begin.value + extent : begin.value;
  if (index < 0 || index >= extent) {
    op.reject("begin", "expected an index in [{}, {}] on axis {}, got {}", -extent, extent - 1,
              axis, begin.value);
  }
  return {.begin = index, .stride = 1, .count = 1, .squeezed = true};
}

Slice resolved(int64_t extent, Position begin, Position end, int64_t stride) {
  const int64_t low = stride > 0 ? 0 : -1, high = stride > 0 ? extent : extent - 1;
  const auto place = [&](Position position, int64_t otherwise) {
    if (!position.given) return otherwise;
    const int64_t value = position.value;
    return std::clamp(value < 0 ? value + extent : value, low, high);
  };
  const int64_t first = place(begin, stride > 0 ? low : high);
  const int64_t last = place(end, stride > 0 ? high : low);
  const int64_t span = stride > 0 ? last - first : first - last, step = std::abs(stride);
  return {.begin = first, .stride = stride, .count = span <= 0 ? 0 : (span + step - 1) / step};
}

// The extent that MIL states although the sliced one is unknown: slices of one element, or none.
int64_t count_without_extent(Position begin, Position end, int64_t stride) {
  if (begin.given && !end.given) {
    const bool one = stride > 0 ? begin.value == -1 : begin.value == 0;
    return one ? 1 : kAny;
  }
  if (!begin.given || !end.given || (begin.value < 0) != (end.value < 0)) return kAny;
  const int64_t span = stride > 0 ? end.value - begin.value : begin.value - end.value;
  if (span <= 0) return 0;
  return span <= std::abs(stride) ? 1 : kAny;
}

}  // namespace

std::vector<Slice> slices_of(const OpView& op, const Shape& x) {
  const auto rank = static_cast<int64_t>(x.size());
  expect_index_vector(op, "begin", rank);
  expect_index_vector(op, "end", rank);
  const auto begins = op.known_ints("begin"), ends = op.known_ints("end");
  const std::vector<int64_t> steps = strides(op, x.size());
  const std::vector<bool> begin_mask = mask(op, "begin_mask", x.size());
  const std::vector<bool> end_mask = mask(op, "end_mask", x.size());
  const std::vector<bool> squeeze_mask = mask(op, "squeeze_mask", x.size());
  std::vector<Slice> slices;
  for (size_t i = 0; i < x.size(); ++i) {
    const Position begin = begins && !begin_mask[i] ? Position{true, (*begins)[i]} : Position{};
    const Position end = ends && !end_mask[i] ? Position{true, (*ends)[i]} : Position{};
    if (squeeze_mask[i]) {
      slices.push_back(squeezed(op, x[i], begin_mask[i] ? Position{true, 0} : begin, i));
      continue;
    }
    const bool known = (begin.given || begin_mask[i]) && (end.given || end_mask[i]);
    if (known && x[i] != kAny) {
      slices.push_back(resolved(x[i], begin, end, steps[i]));
    } else {
      const int64_t count = known ? count_without_extent(begin, end, steps[i]) : kAny;
      slices.push_back({.begin = kAny, .stride = steps[i], .count = count});
    }
  }
  return slices;
}

Shape sliced_shape(const std::vector<Slice>& slices) {
  Shape shape;
  for (const Slice& slice : slices) {
    if (!slice.squeezed) shape.push_back(slice.count);
  }
  return shape;
}

Layout sliced_layout(const std::vector<Slice>& slices, const Shape& x) {
  const std::vector<int64_t> strides = strides_of(x);
  Layout layout;
  for (size_t i = 0; i < slices.size(); ++i) {
    if (slices[i].count > 0) layout.offset += slices[i].begin * strides[i];
    if (!slices[i].squeezed) layout.strides.push_back(slices[i].stride * strides[i]);
  }
  return layout;
}

namespace {

// Elements of x `stride` apart, zeros between them and, as far as x reaches, after them.
Expr spread(const Expr& g, const std::vector<Slice>& slices, const Shape& x) {
  Shape cut, wide;
  std::vector<int64_t> pad;
  for (size_t i = 0; i < slices.size(); ++i) {
    const int64_t step = slices[i].count > 1 ? std::abs(slices[i].stride) : 1;
    cut.push_back(slices[i].count);
    pad.insert(pad.end(), {0, 0});
    if (step > 1) {
      cut.push_back(1);
      pad.insert(pad.end(), {0, step - 1});
    }
    wide.push_back(slices[i].count * step);
  }
  if (cut.size() == wide.size()) return g.shape() == cut ? g : reshape(g, cut);
  const Expr padded = reshape(g, cut).op(
      "pad", {{"pad", pad}, {"mode", "constant"}, {"constant_val", Builder::number_like(g, 0)}});
  Shape held = wide;
  for (size_t i = 0; i < held.size(); ++i) {
    if (slices[i].begin == kAny) continue;
    const Slice& s = slices[i];
    const int64_t lowest = s.stride > 0 ? s.begin : s.begin + (s.count - 1) * s.stride;
    held[i] = std::min(held[i], x[i] - lowest);
  }
  return slice(reshape(padded, wide), std::vector<int64_t>(x.size(), 0), held);
}

}  // namespace

Expr unsliced(const Vjp& v, const std::vector<Slice>& slices, const Shape& x, Expr g) {
  Shape full, target = x;
  std::vector<int64_t> lowest, backwards;
  for (size_t i = 0; i < slices.size(); ++i) {
    const Slice& s = slices[i];
    if (s.begin == kAny && !s.squeezed) {
      fail(ErrorCode::kUnsupported, "begin: expected known bounds of a slice that has a gradient");
    }
    full.push_back(s.count);
    if (s.begin == kAny) target[i] = 1;
    if (s.stride < 0 && s.count > 1) backwards.push_back(static_cast<int64_t>(i));
    lowest.push_back(s.begin == kAny ? 0 : std::min(s.begin, s.begin + (s.count - 1) * s.stride));
  }
  if (!backwards.empty()) g = reshape(g, full).op("reverse", {{"axes", backwards}});
  g = placed(spread(g, slices, x), lowest, target);
  for (size_t i = 0; i < slices.size(); ++i) {
    if (slices[i].begin != kAny) continue;
    const auto axis = static_cast<int64_t>(i);
    g = placed_at(g, element(operand(v, "begin"), axis), axis, x[i]);
  }
  return g;
}

void declare_slice_inputs(OpDef& def, std::vector<DType> index_dtypes) {
  def.types("U", std::move(index_dtypes))
      .input("begin", "U")
      .input("end", "U")
      .input("stride", "U", kConst | kOptional)
      .input("begin_mask", DType::kBool, kConst | kOptional)
      .input("end_mask", DType::kBool, kConst | kOptional)
      .input("squeeze_mask", DType::kBool, kConst | kOptional);
}

}  // namespace mw::ops
