// BlockFacts: what is known of a block before any of it is planned: its ops in order, how each may
// be planned, who uses what. Immutable.
#pragma once

#include <limits>
#include <string>
#include <unordered_map>
#include <vector>

#include "ir/op_view.h"
#include "plan/plan.h"

namespace mw::plan {

class BlockFacts {
 public:
  // `wants_taps`: for the outermost block. Request and block outlive it.
  BlockFacts(const Request& request, ir::Opset opset, const ir::Block& block, bool wants_taps);

  struct Op {
    size_t order = 0;  // within the block
    const ir::OpDef* def = nullptr;
    const OpPlan* plan = nullptr;
    const KernelMaker* maker = nullptr;  // null: none
  };
  // Of any op; one of another block has no order.
  [[nodiscard]] Op of(const ir::Operation& op) const;
  [[nodiscard]] ir::OpView view(const ir::Operation& op, const ir::Facts* known) const {
    return {op, *of(op).def, opset_, known};
  }
  // Of the op of this block that it is, or that it is nested in.
  [[nodiscard]] size_t order_of(const ir::Operation* op) const;

  // By ops of this block and those nested in them, and as outputs (without an op); by none that is
  // dead.
  [[nodiscard]] const std::vector<ir::Use>& uses(const ir::Value* value) const;
  // The use, where there is no other.
  [[nodiscard]] const ir::Use* only_use(const ir::Value* value) const;
  // Whether the caller asked for it beside the outputs.
  [[nodiscard]] bool is_tapped(const ir::Value& value) const;
  // Whether an op after the one at `order` uses it, or it leaves the block.
  [[nodiscard]] bool needed_after(const ir::Value* value, size_t order) const;
  // Nothing uses its results, and it does nothing else.
  [[nodiscard]] bool is_dead(const ir::Operation& op) const;
  // Whether the first use of its only result is so far below that what it is computed from would
  // take memory meanwhile.
  [[nodiscard]] bool is_used_late(const ir::Operation& op) const;

  [[nodiscard]] const ir::Block& block() const { return block_; }
  [[nodiscard]] const Request& request() const { return request_; }
  [[nodiscard]] ir::Opset opset() const { return opset_; }
  [[nodiscard]] const OpPlans& op_plans() const { return *request_.platform.ops; }
  [[nodiscard]] const Backend& backend() const { return *request_.platform.backend; }
  // Workers that a kernel may use at once.
  [[nodiscard]] int slots() const;
  // Elements of the constants of fp16 and bf16 that ops of this block take, each counted once.
  [[nodiscard]] int64_t half_elements() const { return half_elements_; }

 private:
  void forget_dead_uses();
  void count_halves();

  const Request& request_;
  ir::Opset opset_;
  const ir::Block& block_;
  bool wants_taps_;
  int64_t half_elements_ = 0;
  std::unordered_map<const ir::Operation*, Op> ops_;
  std::unordered_map<const ir::Value*, std::vector<ir::Use>> uses_;
};

}  // namespace mw::plan
