// Plans of the shape family: most of its ops only say where elements lie.
#include "ops/catalog_plan.h"
#include "ops/shape/moving_plan.h"
#include "ops/shape/slices.h"

namespace mw::ops {
namespace {

using plan::Place;
using plan::ViewOf;
using Views = std::optional<std::vector<Place>>;

const Shape& result_shape(const OpView& op, size_t index = 0) {
  return op.operation().outputs.at(index)->type.shape();
}

Views reshaped(const OpView& op, const Place& x) {
  Place y;
  if (!plan::reshape(x, result_shape(op), y)) return std::nullopt;
  return std::vector{std::move(y)};
}

Views unchanged(const OpView& op, const Place& x) {
  if (op.operation().outputs[0]->type.dtype() != x.dtype) return std::nullopt;
  return std::vector{x};
}

Views transposed(const OpView& op, const Place& x) {
  Place y = x;
  const std::vector<int64_t> perm = op.axes("perm", static_cast<int64_t>(x.shape.size()));
  for (size_t i = 0; i < perm.size(); ++i) {
    y.shape[i] = x.shape[static_cast<size_t>(perm[i])];
    y.strides[i] = x.strides[static_cast<size_t>(perm[i])];
  }
  return std::vector{std::move(y)};
}

// The part of x that begin, end, stride and the masks cut out.
std::optional<Place> fixed_slice(const OpView& op, const Place& x) {
  if (!op.known("begin") || !op.known("end")) return std::nullopt;
  Place y = x;
  y.shape.clear();
  y.strides.clear();
  const std::vector<Slice> slices = slices_of(op, x.shape);
  for (size_t i = 0; i < slices.size(); ++i) {
    const Slice& slice = slices[i];
    if (slice.begin == kAny && slice.count != 0) return std::nullopt;
    if (slice.count > 0) y.ref.offset += slice.begin * x.strides[i] * x.item();
    if (slice.squeezed) continue;
    y.shape.push_back(slice.count);
    y.strides.push_back(slice.stride * x.strides[i]);
  }
  return y;
}

Views sliced(const OpView& op, const Place& x) {
  std::optional<Place> y = fixed_slice(op, x);
  if (!y) return std::nullopt;
  return std::vector{std::move(*y)};
}

Views sliced_by_size(const OpView& op, const Place& x) {
  const auto begins = op.known_ints("begin");
  if (!begins) return std::nullopt;
  Place y = x;
  y.shape = result_shape(op);
  for (size_t i = 0; i < begins->size(); ++i) {
    const int64_t begin = (*begins)[i] < 0 ? (*begins)[i] + x.shape[i] : (*begins)[i];
    y.ref.offset += begin * x.strides[i] * x.item();
  }
  return std::vector{std::move(y)};
}

Views parts(const OpView& op, const Place& x) {
  const auto axis = static_cast<size_t>(op.axis("axis", static_cast<int64_t>(x.shape.size())));
  std::vector<Place> places;
  int64_t offset = 0;
  for (const auto& output : op.operation().outputs) {
    Place& part = places.emplace_back(x);
    part.shape = output->type.shape();
    part.ref.offset += offset * x.strides[axis] * x.item();
    offset += part.shape[axis];
  }
  return places;
}

Views reversed(const OpView& op, const Place& x) {
  Place y = x;
  std::vector<int64_t> axes;
  if (op.has("axes")) {
    axes = op.axes("axes", static_cast<int64_t>(x.shape.size()));
  } else {
    for (size_t i = 0; i < x.shape.size(); ++i) axes.push_back(static_cast<int64_t>(i));
  }
  for (const int64_t axis : axes) {
    const auto i = static_cast<size_t>(axis);
    if (x.shape[i] > 0) y.ref.offset += (x.shape[i] - 1) * x.strides[i] * x.item();
    y.strides[i] = -x.strides[i];
  }
  return std::vector{std::move(y)};
}

// Along axes of one element the same lies everywhere.
Views repeated(const OpView& op, const Place& x) {
  const auto reps = op.known_ints("reps");
  if (!reps) return std::nullopt;
  Place y = x;
  for (size_t i = 0; i < reps->size(); ++i) {
    if ((*reps)[i] == 1) continue;
    if (x.shape[i] != 1) return std::nullopt;
    y.shape[i] = (*reps)[i];
    y.strides[i] = 0;
  }
  return std::vector{std::move(y)};
}

}  // namespace

void add_shape_plans(plan::OpPlans& plans) {
  for (const char* op : {"reshape", "expand_dims", "squeeze", "flatten2d", "reshape_like"}) {
    plans[op].form = ViewOf{"x", reshaped, {}};
  }
  for (const char* op : {"identity", "cast", "mw.stop_gradient"}) {
    plans[op].form = ViewOf{"x", unchanged, {}};
  }
  plans["transpose"].form = ViewOf{"x", transposed, {}};
  plans["slice_by_index"].form = ViewOf{"x", sliced, moving_slice};
  plans["slice_update"].form = plan::UpdateOf{"x", "update", fixed_slice, moving_slice};
  plans["slice_by_size"].form = ViewOf{"x", sliced_by_size, moving_slice_by_size};
  plans["split"].form = ViewOf{"x", parts, {}};
  plans["reverse"].form = ViewOf{"x", reversed, {}};
  plans["tile"].form = plan::MayView{"x", repeated, {}};
}

}  // namespace mw::ops
