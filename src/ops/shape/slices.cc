// Slice arithmetic shared by slice_by_index and slice_update.
#include "ops/shape/slices.h"

#include <algorithm>

#include "base/error.h"
#include "ops/shape/positions.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

constexpr int64_t kMaxStride = int64_t{1}
                               << 40;  // beyond any extent; keeps the sums below in range

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

std::optional<Slice> squeezed(const SliceAxis& axis) {
  const int64_t begin = axis.begin_masked ? 0 : axis.begin.value_or(0);
  const int64_t index = begin < 0 ? begin + axis.extent : begin;
  if (index < 0 || index >= axis.extent) return std::nullopt;
  return Slice{.begin = index, .stride = 1, .count = 1, .squeezed = true};
}

// The extent that MIL states although the sliced one is unknown: slices of one element, or none.
int64_t count_without_extent(const SliceAxis& axis) {
  const auto &begin = axis.begin, &end = axis.end;
  if (begin && !end) {
    const bool one = axis.stride > 0 ? *begin == -1 : *begin == 0;
    return one ? 1 : kAny;
  }
  if (!begin || !end || (*begin < 0) != (*end < 0)) return kAny;
  const int64_t span = axis.stride > 0 ? *end - *begin : *begin - *end;
  if (span <= 0) return 0;
  return span <= std::abs(axis.stride) ? 1 : kAny;
}

}  // namespace

namespace {

// Of a vector that only a run knows single elements may be known, or how far begin and end are
// apart.
void enter_positions(const OpView& op, std::vector<SliceAxis>& axes) {
  const auto begins = op.known_ints("begin"), ends = op.known_ints("end");
  for (size_t i = 0; i < axes.size(); ++i) {
    SliceAxis& axis = axes[i];
    const auto index = static_cast<int64_t>(i);
    const PositionSum begin =
        begins ? PositionSum{nullptr, 0, (*begins)[i]} : position_sum(op.operand("begin"), index);
    const PositionSum end =
        ends ? PositionSum{nullptr, 0, (*ends)[i]} : position_sum(op.operand("end"), index);
    if (begin.is_number() && !axis.begin_masked) axis.begin = begin.offset;
    if (end.is_number() && !axis.end_masked) axis.end = end.offset;
    const bool moves = !begin.is_number() && !axis.begin_masked && !axis.end_masked;
    const int64_t span = end.offset - begin.offset;
    if (moves && begin.goes_with(end) && std::abs(span) <= axis.extent) axis.span = span;
  }
}

// Of a slice that moves as a whole and stays within what it is cut out of.
int64_t count_of_span(const SliceAxis& axis) {
  const int64_t span = axis.stride > 0 ? *axis.span : -*axis.span, step = std::abs(axis.stride);
  return span <= 0 ? 0 : (span - 1) / step + 1;
}

}  // namespace

std::vector<SliceAxis> slice_axes(const OpView& op, const Shape& x) {
  const auto rank = static_cast<int64_t>(x.size());
  expect_index_vector(op, "begin", rank);
  expect_index_vector(op, "end", rank);
  const std::vector<int64_t> steps = strides(op, x.size());
  const std::vector<bool> begin_mask = mask(op, "begin_mask", x.size());
  const std::vector<bool> end_mask = mask(op, "end_mask", x.size());
  const std::vector<bool> squeeze_mask = mask(op, "squeeze_mask", x.size());
  std::vector<SliceAxis> axes;
  for (size_t i = 0; i < x.size(); ++i) {
    SliceAxis& axis = axes.emplace_back();
    axis.extent = x[i];
    axis.stride = steps[i];
    axis.begin_masked = begin_mask[i];
    axis.end_masked = end_mask[i];
    axis.squeezed = squeeze_mask[i];
  }
  enter_positions(op, axes);
  return axes;
}

std::optional<Slice> slice_of(const SliceAxis& axis) {
  if (axis.squeezed) return squeezed(axis);
  const int64_t low = axis.stride > 0 ? 0 : -1;
  const int64_t high = axis.stride > 0 ? axis.extent : axis.extent - 1;
  const auto place = [&](const std::optional<int64_t>& position, int64_t otherwise) {
    if (!position) return otherwise;
    return std::clamp(*position < 0 ? *position + axis.extent : *position, low, high);
  };
  const int64_t first = place(axis.begin, axis.stride > 0 ? low : high);
  const int64_t last = place(axis.end, axis.stride > 0 ? high : low);
  const int64_t span = axis.stride > 0 ? last - first : first - last;
  const int64_t step = std::abs(axis.stride);
  return Slice{
      .begin = first, .stride = axis.stride, .count = span <= 0 ? 0 : (span + step - 1) / step};
}

std::string text_of(const std::vector<SliceAxis>& axes) {
  std::vector<std::string> items;
  Shape x;
  for (const SliceAxis& axis : axes) {
    std::string& item = items.emplace_back();
    x.push_back(axis.extent);
    if (axis.begin) item = fmt::format("{}", *axis.begin);
    if (axis.squeezed) continue;
    item += ":";
    if (axis.end) item += fmt::format("{}", *axis.end);
    if (axis.stride != 1) item += fmt::format(":{}", axis.stride);
  }
  return fmt::format("[{}] of {}", fmt::join(items, ", "), to_string(x));
}

std::vector<Slice> slices_of(const OpView& op, const Shape& x) {
  std::vector<Slice> slices;
  for (const SliceAxis& axis : slice_axes(op, x)) {
    const size_t i = slices.size();
    const bool begins = axis.begin || axis.begin_masked, ends = axis.end || axis.end_masked;
    if (axis.squeezed && (!begins || axis.extent == kAny)) {
      slices.push_back({.begin = kAny, .stride = 1, .count = 1, .squeezed = true});
    } else if (!axis.squeezed && (!begins || !ends || axis.extent == kAny)) {
      const int64_t count = begins && ends ? count_without_extent(axis)
                            : axis.span    ? count_of_span(axis)
                                           : kAny;
      slices.push_back({.begin = kAny, .stride = axis.stride, .count = count});
    } else if (const std::optional<Slice> slice = slice_of(axis)) {
      slices.push_back(*slice);
    } else {
      op.reject("begin", "expected an index in [{}, {}] on axis {}, got {}", -axis.extent,
                axis.extent - 1, i, axis.begin.value_or(0));
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

void reject_update(const std::string& where, const std::vector<SliceAxis>& axes,
                   const Shape& sliced, const Shape& update) {
  fail(ErrorCode::kInvalidModel, "{}: update: expected shape {}, got {} for {}", where,
       to_string(sliced), to_string(update), text_of(axes));
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
