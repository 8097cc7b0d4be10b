// Rows of ops over their last axes.
#include "ops/last_axes_plan.h"

#include <vector>

namespace mw::ops {

std::optional<plan::RowDomain> over_last_axes(const ir::OpView& op) {
  if (op.dtype("x") != DType::kF32) return std::nullopt;
  const Shape shape = op.shape("x");
  if (shape.empty()) return std::nullopt;
  size_t reduced = shape.size();
  if (op.has("axes")) {
    const std::vector<int64_t> axes = op.axes("axes", static_cast<int64_t>(shape.size()));
    reduced = axes.size();
    for (const int64_t axis : axes) {
      if (axis < static_cast<int64_t>(shape.size() - reduced)) return std::nullopt;
    }
  }
  if (reduced == 0) return std::nullopt;
  return plan::RowDomain{shape, reduced};
}

}  // namespace mw::ops
