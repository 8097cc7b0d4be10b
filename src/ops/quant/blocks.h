// Blocks: which block of a regular grid an element of a tensor falls into.
#pragma once

#include <algorithm>
#include <optional>

#include "base/packed.h"
#include "ops/support.h"

namespace mw::ops {

// Consecutive elements along which blocks follow one another.
struct Line {
  int64_t first;   // element
  int64_t length;  // in elements
  int64_t group;   // index of the first block in the row-major grid; the next ones follow
  int64_t within;  // elements of the first block that lie before `first`
  int64_t block;   // elements per block
};

// A tensor of shape `extents` cut along each axis into grid[axis] equal parts. Axes that need not
// be told apart are merged, so that the usual layouts (per tensor, per channel, per block of a row)
// are one line.
class Blocks {
 public:
  // Each grid extent must divide its extent, and none may be zero, unless the tensor is empty.
  Blocks(const Shape& extents, const Shape& grid) {
    if (count_of(extents) == 0) return;
    for (size_t k = 0; k < extents.size(); ++k) {
      const bool merge = !extents_.empty() && (grid[k] == 1 || grid_.back() == extents_.back());
      if (merge) {
        extents_.back() *= extents[k];
        grid_.back() *= grid[k];
      } else {
        extents_.push_back(extents[k]);
        grid_.push_back(grid[k]);
      }
    }
    groups_ = count_of(grid_);
  }

  [[nodiscard]] int64_t groups() const { return groups_; }
  // Whether blocks follow one another in one line through the whole tensor.
  [[nodiscard]] bool is_line() const { return extents_.size() <= 1; }

  // The line through `first`, no longer than `count`.
  [[nodiscard]] Line line_at(int64_t first, int64_t count) const {
    if (extents_.empty()) return {first, count, 0, 0, count};
    const int64_t extent = extents_.back(), block = extent / grid_.back();
    const int64_t along = first % extent;
    int64_t rest = first / extent, group = along / block, stride = grid_.back();
    for (size_t k = extents_.size() - 1; k-- > 0; rest /= extents_[k]) {
      group += rest % extents_[k] / (extents_[k] / grid_[k]) * stride;
      stride *= grid_[k];
    }
    return {first, std::min(count, extent - along), group, along % block, block};
  }

  // Calls f(first, length, group) for the pieces of [first, first + count) that lie in one block,
  // in order, until f returns false.
  template <class F>
  void for_each_piece(int64_t first, int64_t count, const F& f) const {
    while (count > 0) {
      Line line = line_at(first, count);
      count -= line.length;
      first += line.length;
      while (line.length > 0) {
        const int64_t length = std::min(line.length, line.block - line.within);
        if (!f(line.first, length, line.group)) return;
        line.first += length;
        line.length -= length;
        line.group += 1;
        line.within = 0;
      }
    }
  }

 private:
  Shape extents_, grid_;
  int64_t groups_ = 1;
};

// Rows, columns and groups of a tensor cut by `grid`, of whose leading axis each index is a row;
// nullopt where blocks of a row are not one line, or nothing is in it.
inline std::optional<PackedMatrix> packed_grid(const Shape& extents, const Shape& grid) {
  if (extents.empty() || count_of(extents) == 0) return std::nullopt;
  const Blocks row({extents.begin() + 1, extents.end()}, {grid.begin() + 1, grid.end()});
  if (!row.is_line()) return std::nullopt;
  PackedMatrix matrix;
  matrix.rows = extents[0];
  matrix.columns = count_of(extents) / extents[0];
  matrix.group_rows = extents[0] / grid[0];
  matrix.group_columns = matrix.columns / row.groups();
  return matrix;
}

}  // namespace mw::ops
