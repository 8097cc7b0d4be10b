// reference_step(): operands without gaps, results in places or slots.
#include "plan/reference_step.h"

#include <algorithm>

namespace mw::plan {
namespace {

bool is_static(const ir::Value& v) { return !v.type.is_tensor() || v.type.is_static(); }

void note_buffer(const Values& values, std::vector<int>& list, const Where& where) {
  if (where.kind == Where::Kind::kPlace) values.touch(list, where.place.ref.buffer);
}

// Where a value lies without gaps; the step reads it there.
Where read(Values& values, const ir::Value* value, Step& step) {
  Where found = values.at(value);
  if (found.kind == Where::Kind::kPlace && !found.place.dense()) {
    found.place = values.dense({const_cast<ir::Value*>(value), nullptr});
  }
  note_buffer(values, step.reads, found);
  return found;
}

bool only_moves(const BlockFacts& block, const ir::OpView& op) {
  const OpPlan& plan = block.op_plans().of(op.operation().type);
  return op.def().has_trait(ir::kMovesElements | ir::kSlices) || !plan.moved().empty() ||
         std::holds_alternative<UpdateOf>(plan.form) ||
         std::holds_alternative<ReadsState>(plan.form);
}

}  // namespace

// Of a stack, say, the results may be known alone.
bool all_static(const ir::Operation& op) {
  for (const ir::Operand& used : ir::operands(op)) {
    if (used.value != nullptr && !is_static(*used.value)) return false;
  }
  return std::ranges::all_of(op.outputs, [](const auto& output) { return is_static(*output); });
}

Step reference_step(const BlockFacts& block, Values& values, const ir::OpView& op,
                    const std::function<std::shared_ptr<const Plan>(const ir::Block&)>& lower) {
  const ir::Operation& operation = op.operation();
  Step step;
  step.op = &operation;
  step.kind = "reference";
  auto call = std::make_shared<ReferenceCall>();
  call->op = &operation;
  call->def = &op.def();
  call->opset = block.opset();
  call->infers = !all_static(operation);
  for (const ir::Operand& used : ir::operands(operation)) {
    if (used.value == nullptr) continue;
    Where found = read(values, used.value, step);
    // Positions and extents that only a run knows are checked by inference.
    const ir::Type& type = used.value->type;
    call->infers |=
        found.kind != Where::Kind::kConstant && type.is_tensor() && is_integer(type.dtype());
    call->operands.emplace_back(used.value, std::move(found));
  }
  for (const auto& nested : operation.blocks) {
    std::shared_ptr<const Plan> inner = lower(*nested);
    for (size_t i = inner->argument_count; i < inner->inputs.size(); ++i) {
      const ir::Value* captured = inner->inputs[i].value;
      call->operands.emplace_back(captured, read(values, captured, step));
    }
    call->blocks.push_back(std::move(inner));
  }
  for (const auto& output : operation.outputs) {
    Where result = values.result(output->type);
    note_buffer(values, step.writes, result);
    values.put(output.get(), result);
    call->results.push_back(std::move(result));
  }
  step.call = std::move(call);
  if (only_moves(block, op)) {
    for (const auto& output : operation.outputs) {
      const ir::Type& type = output->type;
      if (has_place(type)) step.copied += bytes_of(type.dtype(), count_of(type.shape()));
    }
  }
  return step;
}

}  // namespace mw::plan
