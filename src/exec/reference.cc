// ReferenceRun: evaluates an op over borrowed tensors; results land in the arena or in slots.
#include "exec/reference.h"

#include <algorithm>

#include "base/error.h"

namespace mw::exec {
namespace {

using plan::Where;

bool is_narrow_float(DType dtype) { return is_float(dtype) && bit_width(dtype) < 32; }

}  // namespace

ReferenceRun::ReferenceRun(RunMemory& memory, const plan::ReferenceCall& call,
                           const BlockRun& run_nested)
    : memory_(memory), call_(call), run_nested_(run_nested) {
  operands_.reserve(call.operands.size());
  for (const auto& [value, where] : call.operands) operands_.push_back(memory.datum_at(where));
}

size_t ReferenceRun::find(const ir::Value* value) const {
  const auto found = std::find_if(call_.operands.begin(), call_.operands.end(),
                                  [&](const auto& operand) { return operand.first == value; });
  return static_cast<size_t>(found - call_.operands.begin());
}

ir::Type ReferenceRun::type_of(const ir::Operand& operand) const {
  if (operand.value == nullptr) return Facts::type_of(operand);
  const size_t index = find(operand.value);
  if (index == operands_.size()) return operand.value->type;
  const ir::Datum& datum = operands_[index];
  if (datum.list || datum.tensor.empty()) return operand.value->type;
  return ir::Type::tensor(datum.tensor.dtype(), datum.tensor.shape());
}

const Tensor* ReferenceRun::tensor_of(const ir::Operand& operand) const {
  if (operand.value == nullptr) return Facts::tensor_of(operand);
  const size_t index = find(operand.value);
  if (index == operands_.size()) return Facts::tensor_of(operand);
  const Tensor& tensor = operands_[index].tensor;
  return tensor.empty() ? nullptr : &tensor;
}

ir::Datum ReferenceRun::datum_of(const ir::Operand& operand) {
  if (operand.value == nullptr) {
    if (!operand.literal->is_tensor()) {
      fail(ErrorCode::kUnsupported, "a literal {} cannot be an operand",
           operand.literal->type().str());
    }
    return {operand.literal->value(), nullptr, nullptr};
  }
  const size_t index = find(operand.value);
  MW_CHECK(index < operands_.size());
  return operands_[index];
}

std::vector<ir::Datum> ReferenceRun::run_block(const ir::Block& block,
                                               std::vector<ir::Datum> arguments) {
  const auto& blocks = call_.op->blocks;
  const auto found = std::find_if(blocks.begin(), blocks.end(),
                                  [&](const auto& nested) { return nested.get() == &block; });
  MW_CHECK(found != blocks.end());
  const auto& plan = call_.blocks[static_cast<size_t>(found - blocks.begin())];
  if (arguments.size() != plan->argument_count) {
    fail(ErrorCode::kInvalidModel, "{} '{}': expected {} block arguments, got {}", call_.op->type,
         call_.op->name(), plan->argument_count, arguments.size());
  }
  for (size_t i = plan->argument_count; i < plan->inputs.size(); ++i) {
    arguments.push_back(datum_of({const_cast<ir::Value*>(plan->inputs[i].value), nullptr}));
  }
  return run_nested_(plan, arguments);
}

std::vector<ir::Type> ReferenceRun::result_types() const {
  if (call_.infers && call_.op->blocks.empty()) {
    return call_.def->infer()(ir::OpView(*call_.op, *call_.def, call_.opset, this));
  }
  std::vector<ir::Type> types;
  types.reserve(call_.op->outputs.size());
  for (const auto& output : call_.op->outputs) types.push_back(output->type);
  return types;
}

void ReferenceRun::store(const Where& where, ir::Datum result) {
  if (where.kind == Where::Kind::kSlot) {
    memory_.slot(where.slot) = owned(std::move(result));
    return;
  }
  MW_CHECK(result.tensor.dtype() == where.place.dtype);
  if (result.tensor.shape() != where.place.shape) {
    fail(ErrorCode::kInvalidModel, "{} '{}': expected a result of shape {}, got {}", call_.op->type,
         call_.op->name(), to_string(where.place.shape), to_string(result.tensor.shape()));
  }
  memory_.store(where.place, result.tensor);
}

void ReferenceRun::execute() {
  const ir::OpDef& def = *call_.def;
  if (!def.eval()) {
    fail(ErrorCode::kUnsupported, "{} '{}': the op cannot be run", call_.op->type,
         call_.op->name());
  }
  ir::Eval eval(*call_.op, def, call_.opset, *this, this, result_types());
  for (size_t i = 0; memory_.is_host() && i < call_.results.size(); ++i) {
    const Where& where = call_.results[i];
    if (where.kind != Where::Kind::kPlace || is_narrow_float(where.place.dtype)) continue;
    eval.provide(i, memory_.tensor_at(where.place));
  }
  std::vector<ir::Datum> results = eval.run();
  for (size_t i = 0; i < call_.results.size(); ++i) store(call_.results[i], std::move(results[i]));
  if (!def.has_trait(ir::kWritesState)) return;
  for (const ir::Datum& operand : operands_) {
    if (operand.state) operand.state->value = owned(std::move(operand.state->value));
  }
}

}  // namespace mw::exec
