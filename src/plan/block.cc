// BlockFacts: one look at the block, then look-ups.
#include "plan/block.h"

#include <algorithm>
#include <unordered_set>

#include "base/glob.h"
#include "ir/constant.h"

namespace mw::plan {
namespace {

constexpr size_t kLongWait = 64;    // ops
constexpr int kDescribedSlots = 2;  // of a plan for no particular machine

}  // namespace

BlockFacts::BlockFacts(const Request& request, ir::Opset opset, const ir::Block& block,
                       bool wants_taps)
    : request_(request),
      opset_(opset),
      block_(block),
      wants_taps_(wants_taps),
      uses_(ir::uses_in(block)) {
  for (const auto& op : block.ops) {
    Op facts = of(*op);
    facts.order = ops_.size();
    ops_[op.get()] = facts;
  }
  forget_dead_uses();
  count_halves();
}

void BlockFacts::count_halves() {
  std::unordered_set<const ir::Constant*> counted;
  for (const auto& op : block_.ops) {
    for (const ir::Operand& operand : ir::operands(*op)) {
      const ir::ConstantPtr constant = ir::constant_of(operand);
      if (constant == nullptr || !constant->is_tensor()) continue;
      const ir::Type& type = constant->type();
      if (type.dtype() != DType::kF16 && type.dtype() != DType::kBF16) continue;
      if (counted.insert(constant.get()).second) half_elements_ += count_of(type.shape());
    }
  }
}

// A pass may leave ops that nothing uses any more.
void BlockFacts::forget_dead_uses() {
  for (auto op = block_.ops.rbegin(); op != block_.ops.rend(); ++op) {
    if (!is_dead(**op)) continue;
    for (const ir::Operand& operand : ir::operands(**op)) {
      if (operand.value == nullptr) continue;
      std::erase_if(uses_[operand.value], [&](const ir::Use& use) { return use.op == op->get(); });
    }
  }
}

BlockFacts::Op BlockFacts::of(const ir::Operation& op) const {
  const auto found = ops_.find(&op);
  if (found != ops_.end()) return found->second;
  return {0, &request_.platform.catalog->at(op, opset_), &op_plans().of(op.type),
          backend().kernel(op.type)};
}

size_t BlockFacts::order_of(const ir::Operation* op) const {
  while (op->parent != &block_) op = op->parent->parent;
  return ops_.at(op).order;
}

const std::vector<ir::Use>& BlockFacts::uses(const ir::Value* value) const {
  static const std::vector<ir::Use> kNone;
  const auto found = uses_.find(value);
  return found == uses_.end() ? kNone : found->second;
}

const ir::Use* BlockFacts::only_use(const ir::Value* value) const {
  const std::vector<ir::Use>& all = uses(value);
  return all.size() == 1 ? all.data() : nullptr;
}

bool BlockFacts::is_tapped(const ir::Value& value) const {
  return wants_taps_ && matches_any(request_.taps, value.name);
}

bool BlockFacts::needed_after(const ir::Value* value, size_t order) const {
  if (is_tapped(*value)) return true;
  return std::ranges::any_of(uses(value), [&](const ir::Use& use) {
    return use.op == nullptr || order_of(use.op) > order;
  });
}

bool BlockFacts::is_dead(const ir::Operation& op) const {
  const bool has_effect = of(op).def->has_trait(ir::kWritesState);
  if (op.outputs.empty() || !op.blocks.empty() || has_effect) return false;
  return std::ranges::none_of(op.outputs, [&](const auto& output) {
    return !uses(output.get()).empty() || is_tapped(*output);
  });
}

bool BlockFacts::is_used_late(const ir::Operation& op) const {
  const std::vector<ir::Use>& all = uses(op.outputs[0].get());
  if (all.empty()) return false;
  size_t first = ops_.size();
  for (const ir::Use& use : all) {
    if (use.op != nullptr) first = std::min(first, order_of(use.op));
  }
  return first > order_of(&op) + kLongWait;
}

int BlockFacts::slots() const {
  if (request_.described) return kDescribedSlots;
  return request_.slots > 0 ? request_.slots : backend().slots();
}

}  // namespace mw::plan
