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

RowCluster::RowCluster(const BlockFacts& block, const Waiting& waiting, const ir::Value* wanted) {
  std::vector<const Waiting::Op*> open{waiting.find(wanted)};
  shape_ = open[0]->domain.shape;
  reduced_ = open[0]->domain.reduced;
  add(open[0]);
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
  std::ranges::sort(members_, {}, [&](const auto* member) { return block.order_of(member->op); });
}

}  // namespace mw::plan
