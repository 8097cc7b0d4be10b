// Plans of the gathers: what they pick lies in what they pick it from, in one piece where it is
// one.
#include "base/error.h"
#include "ops/catalog_plan.h"
#include "ops/index/indices.h"

namespace mw::ops {
namespace {

using plan::MovingPart;
using plan::Place;
using Views = std::optional<std::vector<Place>>;

// The lowest index of a gather, those below 0 counting from the end.
int64_t lowest_index(const OpView& op, int64_t extent) {
  const bool strict =
      op.def().find_input("validate_indices") != nullptr && op.flag("validate_indices");
  return strict ? 0 : -extent;
}

class IndexPosition : public plan::Position {
 public:
  IndexPosition(const OpView& op, DType dtype, int64_t extent, int64_t bytes)
      : where_(op.where()),
        dtype_(dtype),
        extent_(extent),
        low_(lowest_index(op, extent)),
        bytes_(bytes) {}

  [[nodiscard]] int64_t offset(std::span<const std::byte* const> integers) const override {
    const int64_t value = integer_at(integers[0], dtype_, 0);
    if (value < low_ || value >= extent_) {
      fail(ErrorCode::kInvalidModel, "{}: indices: expected values in [{}, {}], got {}", where_,
           low_, extent_ - 1, value);
    }
    return (value < 0 ? value + extent_ : value) * bytes_;
  }

 private:
  std::string where_;
  DType dtype_;
  int64_t extent_, low_, bytes_;  // between neighbours
};

// The only index of a gather, as a part of x; nullopt: there are several.
std::optional<Place> only_slice(const OpView& op, const Place& x, size_t axis) {
  if (count_of(op.shape("indices")) != 1 || x.shape[axis] == 0) return std::nullopt;
  if (op.def().find_input("batch_dims") != nullptr && op.integer("batch_dims") != 0) {
    return std::nullopt;
  }
  Place y = x;
  const Shape ones = op.shape("indices");
  const auto at = static_cast<int64_t>(axis);
  y.shape.erase(y.shape.begin() + at);
  y.strides.erase(y.strides.begin() + at);
  y.shape.insert(y.shape.begin() + at, ones.begin(), ones.end());
  y.strides.insert(y.strides.begin() + at, ones.size(), 1);
  return y;
}

size_t axis_of(const OpView& op, const Place& x) {
  return static_cast<size_t>(op.axis("axis", static_cast<int64_t>(x.shape.size())));
}

Views picked(const OpView& op, const Place& x) {
  const auto indices = op.known_ints("indices");
  const size_t axis = axis_of(op, x);
  std::optional<Place> y = indices ? only_slice(op, x, axis) : std::nullopt;
  if (!y) return std::nullopt;
  const int64_t index = (*indices)[0], extent = x.shape[axis];
  if (index < lowest_index(op, extent) || index >= extent) return std::nullopt;
  y->ref.offset += (index < 0 ? index + extent : index) * x.strides[axis] * x.item();
  return std::vector{std::move(*y)};
}

std::optional<MovingPart> moving_pick(const OpView& op, const Place& x) {
  const size_t axis = axis_of(op, x);
  if (op.known("indices") != nullptr || !is_index(op.dtype("indices"))) return std::nullopt;
  std::optional<Place> y = only_slice(op, x, axis);
  if (!y) return std::nullopt;
  return MovingPart{std::move(*y),
                    {"indices"},
                    std::make_shared<IndexPosition>(op, op.dtype("indices"), x.shape[axis],
                                                    x.strides[axis] * x.item())};
}

}  // namespace

void add_index_plans(plan::OpPlans& plans) {
  plans["gather"].form = plan::MayView{"x", picked, moving_pick};
  for (const char* op : {"gather_along_axis", "gather_nd"}) plans[op].picks = std::string("x");
}

}  // namespace mw::ops
