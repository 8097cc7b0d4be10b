// RowCluster: from a value backwards, as long as rows are the same.
#include "plan/row_cluster.h"

#include <algorithm>

namespace mw::plan {
namespace {

constexpr size_t kMaxMembers = 40;

Shape per_row(Shape shape, size_t reduced) {
  std::fill(shape.end() - static_cast<int64_t>(reduced), shape.end(), 1);
  return shape;
}

}  // namespace

Shape RowCluster::shape_per_row() const { return per_row(shape_, reduced_); }

void RowCluster::add(const Waiting::Op* op) {
  members_.push_back(op);
  ops_.insert(op->op);
}

bool RowCluster::joins(const ir::Value& value, const Waiting::Op& op, bool consumer_full) {
  if (members_.size() >= kMaxMembers) return false;
  const RowDomain& domain = op.domain;
  const Shape& shape = value.type.shape();
  if (domain.shape == shape_) {
    if (domain.reduced > 0 && reduced_ > 0 && domain.reduced != reduced_) return false;
    const bool full = shape == shape_;
    if (full ? !consumer_full : shape != per_row(shape_, domain.reduced)) return false;
    if (domain.reduced > 0) reduced_ = domain.reduced;
    return true;
  }
  const size_t rows_of = reduced_ > 0 ? reduced_ : 1;
  if (domain.reduced > 0 || shape_.size() < rows_of) return false;
  if (domain.shape != per_row(shape_, rows_of)) return false;
  reduced_ = rows_of;
  return true;
}

void RowCluster::grow_back(const Waiting& waiting) {
  std::vector<const Waiting::Op*> open = members_;
  while (!open.empty()) {
    const Waiting::Op* member = open.back();
    open.pop_back();
    const bool full = member->domain.shape == shape_;
    for (const ir::Operand& operand : ir::operands(*member->op)) {
      if (operand.value == nullptr) continue;
      const Waiting::Op* found = waiting.find(operand.value);
      if (found == nullptr || ops_.contains(found->op)) continue;
      if (found->row == nullptr || !joins(*operand.value, *found, full)) {
        outside_.push_back(operand.value);
        continue;
      }
      add(found);
      open.push_back(found);
    }
  }
}

// Whether it waits, walks all rows element by element, takes members' values as they lie along
// these rows, and nothing else has to be computed for it.
bool RowCluster::may_come_along(const ir::Value& value, const Waiting& waiting) const {
  const Waiting::Op* found = waiting.find(&value);
  if (found == nullptr || found->row == nullptr || members_.size() >= kMaxMembers) return false;
  if (found->domain.shape != shape_ || found->domain.reduced > 0) return false;
  return std::ranges::all_of(ir::operands(*found->op), [&](const ir::Operand& operand) {
    if (operand.value == nullptr) return true;
    if (!ops_.contains(operand.value->producer)) return waiting.find(operand.value) == nullptr;
    const Shape& shape = operand.value->type.shape();
    return shape == shape_ || shape == shape_per_row();
  });
}

// What would be stored and read again only to be written to a state.
void RowCluster::take_along(const BlockFacts& block, const Waiting& waiting, const States& states) {
  for (size_t i = 0; i < members_.size(); ++i) {
    for (const ir::Use& use : block.uses(members_[i]->op->outputs[0].get())) {
      if (use.op == nullptr || use.op->outputs.size() != 1 || ops_.contains(use.op)) continue;
      const ir::Value& value = *use.op->outputs[0];
      if (states.written_with(&value) < 0 || !may_come_along(value, waiting)) continue;
      add(waiting.find(&value));
    }
  }
}

RowCluster::RowCluster(const BlockFacts& block, const Waiting& waiting, const States& states,
                       const ir::Value* wanted) {
  const Waiting::Op* first = waiting.find(wanted);
  shape_ = first->domain.shape;
  reduced_ = first->domain.reduced;
  add(first);
  grow_back(waiting);
  if (outside_.empty()) take_along(block, waiting, states);
  std::ranges::sort(members_, {}, [&](const auto* member) { return block.order_of(member->op); });
}

}  // namespace mw::plan
