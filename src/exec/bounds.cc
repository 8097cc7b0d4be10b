// Rounding open extents up.
#include "exec/bounds.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>

namespace mw::exec {
namespace {

constexpr int64_t kUnbounded = std::numeric_limits<int64_t>::max();

int64_t next_power_of_two(int64_t extent) {
  return extent <= 1 ? extent : static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(extent)));
}

// Visits the open extents, with the largest that each may have.
template <class Visit>
void for_each_open(Shapes& shapes, const Bounding& by, const Visit& visit) {
  for (const auto& [name, type] : by.inputs) {
    Shape& shape = shapes.at(name);
    const auto largest = by.largest.find(name);
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      // Of an input of any rank every extent is open.
      if (type.has_rank() && (axis >= type.shape().size() || type.shape()[axis] >= 0)) continue;
      const bool bounded = largest != by.largest.end() && axis < largest->second.size();
      visit(shape[axis], bounded ? largest->second[axis] : kUnbounded);
    }
  }
}

}  // namespace

Shapes bound_of(const Shapes& shapes, const Bounding& by) {
  Shapes bound = shapes;
  int64_t added = 0;
  if (by.together) {
    int64_t longest = 0, room = kUnbounded;
    for_each_open(bound, by, [&](int64_t& extent, int64_t most) {
      longest = std::max(longest, extent);
      if (extent > 1) room = std::min(room, most - extent);
    });
    added =
        std::clamp<int64_t>(next_power_of_two(longest) - longest, 0, std::max<int64_t>(room, 0));
  }
  for_each_open(bound, by, [&](int64_t& extent, int64_t most) {
    const int64_t rounded =
        by.together ? extent + (extent > 1 ? added : 0) : next_power_of_two(extent);
    extent = std::max(extent, std::min(rounded, most));
  });
  return bound;
}

}  // namespace mw::exec
