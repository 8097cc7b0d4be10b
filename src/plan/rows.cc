// Fuser: what may be part of a program, and one after the other what a program needs.
#include "plan/rows.h"

#include "plan/row_step.h"

namespace mw::plan {
namespace {

bool can_store(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16 ||
         dtype == DType::kI32 || dtype == DType::kBool;
}

bool can_load(DType dtype) {
  return can_store(dtype) || dtype == DType::kI8 || dtype == DType::kU8 || dtype == DType::kI16 ||
         dtype == DType::kU16;
}

}  // namespace

std::optional<RowDomain> Fuser::domain(const ir::OpView& view, const RowRule& rule) const {
  const ir::Operation& op = view.operation();
  if (op.outputs.size() != 1 || !has_place(op.outputs[0]->type)) return std::nullopt;
  if (!can_store(op.outputs[0]->type.dtype()) || count_of(op.outputs[0]->type.shape()) == 0) {
    return std::nullopt;
  }
  for (const ir::Operand& used : ir::operands(op)) {
    if (used.value == nullptr || values_.frozen().holds(used.value)) continue;
    if (!has_place(used.value->type) || !can_load(used.value->type.dtype())) return std::nullopt;
  }
  std::optional<RowDomain> domain = rule.domain(view);
  if (!domain || count_of(domain->shape) == 0) return std::nullopt;
  return domain;
}

void Fuser::compute(const ir::Value* wanted, Deferred& deferred) {
  while (values_.find(wanted) == nullptr) {
    const RowCluster cluster(block_, waiting_, states_, wanted);
    for (const ir::Value* value : cluster.outside()) deferred.compute(value);
    if (!cluster.outside().empty()) continue;
    auto [step, stored] = row_step(block_, values_, states_, cluster);
    values_.plan().steps.push_back(std::move(step));
    for (const ir::Value* value : stored) waiting_.erase(value);
  }
}

}  // namespace mw::plan
