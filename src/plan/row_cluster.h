// RowCluster: the waiting ops that one row program computes: the longest chain behind a value that
// walks the same rows, and what else is made of it to be written to states.
#pragma once

#include <unordered_set>
#include <vector>

#include "plan/block.h"
#include "plan/states.h"
#include "plan/waiting.h"

namespace mw::plan {

class RowCluster {
 public:
  // `wanted` waits for a row program. Its ops stay where they are in `waiting`.
  RowCluster(const BlockFacts& block, const Waiting& waiting, const States& states,
             const ir::Value* wanted);

  // In the order of the block.
  [[nodiscard]] const std::vector<const Waiting::Op*>& members() const { return members_; }
  [[nodiscard]] bool contains(const ir::Operation* op) const { return ops_.contains(op); }
  // Waiting values that members use and that cannot be part of it.
  [[nodiscard]] const std::vector<const ir::Value*>& outside() const { return outside_; }

  // What it walks over, and how many of the last axes make a row that is seen at once; 0: none
  // does.
  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] size_t reduced() const { return reduced_; }
  // Of a value with one number for each row.
  [[nodiscard]] Shape shape_per_row() const;

 private:
  bool joins(const ir::Value& value, const Waiting::Op& op, bool consumer_full);
  void add(const Waiting::Op* op);
  void grow_back(const Waiting& waiting);
  [[nodiscard]] bool may_come_along(const ir::Value& value, const Waiting& waiting) const;
  void take_along(const BlockFacts& block, const Waiting& waiting, const States& states);

  Shape shape_;
  size_t reduced_ = 0;
  std::vector<const Waiting::Op*> members_;
  std::unordered_set<const ir::Operation*> ops_;
  std::vector<const ir::Value*> outside_;
};

}  // namespace mw::plan
