// Frozen: which values of a function are made of constants only, and their tensors on demand.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "plan/constant_pool.h"
#include "plan/plan.h"

namespace mw::plan {

class Frozen : public ir::Facts {
 public:
  Frozen(const ir::Catalog& catalog, ir::Opset opset, ConstantPool& pool)
      : catalog_(catalog), opset_(opset), pool_(pool) {}

  // To be called for every op in order.
  bool note(const ir::Operation& op, const ir::OpDef& def);
  [[nodiscard]] bool holds(const ir::Value* value) const { return depth_.contains(value); }
  [[nodiscard]] bool holds(const ir::Operand& operand) const {
    return operand.literal != nullptr || holds(operand.value);
  }
  // The tensor of a frozen value; `keep` receives what keeps it alive and a const that is read in
  // place.
  Tensor tensor(const ir::Value* value, Plan& keep);
  // Names the value by the constants behind it, which are appended to `sources`.
  std::string identity(const ir::Operand& operand, std::vector<ir::ConstantPtr>& sources) const;

  // As before the first note().
  void clear() {
    depth_.clear();
    small_.clear();
  }
  // For values whose constants have changed since they were noted.
  void forget(const ir::Value* value) {
    depth_.erase(value);
    small_.erase(value);
  }

  // Small frozen values count as known.
  [[nodiscard]] const Tensor* tensor_of(const ir::Operand& operand) const override;

 private:
  [[nodiscard]] std::shared_ptr<const Tensor> made(const ir::Value* value) const;

  const ir::Catalog& catalog_;
  ir::Opset opset_;
  ConstantPool& pool_;
  std::unordered_map<const ir::Value*, int> depth_;
  mutable std::unordered_map<const ir::Value*, std::shared_ptr<const Tensor>> small_;
};

}  // namespace mw::plan
