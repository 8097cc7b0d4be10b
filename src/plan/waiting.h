// Waiting: the ops of a block that are computed when something asks for their result: parts of row
// programs, and kernels that a later one may absorb.
#pragma once

#include <unordered_map>

#include "plan/op_plan.h"

namespace mw::plan {

class Waiting {
 public:
  struct Op {
    const ir::Operation* op = nullptr;
    const RowRule* row = nullptr;  // null: a kernel
    RowDomain domain;              // of a row
    int depth = 0;                 // of the chain of waiting ops behind it
  };

  void add(Op op) { ops_[op.op->outputs[0].get()] = std::move(op); }
  void erase(const ir::Value* result) { ops_.erase(result); }
  void clear() { ops_.clear(); }
  // Null: it does not wait. Lasts until it is erased.
  [[nodiscard]] const Op* find(const ir::Value* result) const {
    const auto found = ops_.find(result);
    return found == ops_.end() ? nullptr : &found->second;
  }
  [[nodiscard]] const std::unordered_map<const ir::Value*, Op>& all() const { return ops_; }
  // How long a chain of waiting ops the operands of `op` end.
  [[nodiscard]] int depth_behind(const ir::Operation& op) const;

 private:
  std::unordered_map<const ir::Value*, Op> ops_;  // by result
};

}  // namespace mw::plan
