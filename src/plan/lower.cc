// Lowering: operations to views, kernels or reference steps, in program order.
#include "plan/lower.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "plan/sink_casts.h"

namespace mw::plan {
namespace {

constexpr int kMaxDepth = 48;

bool is_static(const ir::Value& v) { return !v.type.is_tensor() || v.type.is_static(); }

// Results and operands: of a stack, say, the former may be known alone.
bool all_static(const ir::Operation& op) {
  for (const ir::Operand& used : ir::operands(op)) {
    if (used.value != nullptr && !is_static(*used.value)) return false;
  }
  return std::ranges::all_of(op.outputs, [](const auto& output) { return is_static(*output); });
}

}  // namespace

std::shared_ptr<Plan> Lowering::run() {
  bind_arguments();
  for (const auto& op : block_.block().ops) operation(*op);
  finish_outputs();
  states_.write_in_place();
  return values_.take_plan();
}

void Lowering::bind_arguments() {
  for (const auto& argument : block_.block().arguments) values_.bind_input(*argument);
  values_.plan().argument_count = values_.plan().inputs.size();
  states_.bind();
}

void Lowering::operation(const ir::Operation& op) {
  const ir::OpDef& def = *block_.of(op).def;
  if (frozen_.note(op, def)) return;
  if (block_.is_dead(op) && !def.has_trait(ir::kWritesState)) return;
  step_for(op);
}

void Lowering::step_for(const ir::Operation& op) {
  if (op.outputs.size() == 1 && values_.find(op.outputs[0].get()) != nullptr) return;  // absorbed
  (void)values_.read_for(&op);
  const ir::OpView view = block_.view(op, &frozen_);
  const BlockFacts::Op info = block_.of(op);
  if (all_static(op)) {
    if (as_form(view, info.plan->form)) return;
    const bool row =
        info.plan->row && block_.backend().runs_rows() && wait_for_rows(view, *info.plan->row);
    if (row || (info.maker != nullptr && info.maker->waits && wait(op))) {
      if (block_.is_used_late(op)) compute(op.outputs[0].get());
      return;
    }
    if (info.maker != nullptr && as_kernel(view, *info.maker)) return;
  }
  as_reference(view);
}

bool Lowering::as_form(const ir::OpView& op, const OpPlan::Form& form) {
  if (const auto* view = std::get_if<ViewOf>(&form)) return as_view(op, *view);
  if (const auto* update = std::get_if<UpdateOf>(&form)) return states_.update(op, *update);
  if (const auto* read = std::get_if<ReadsState>(&form)) return states_.read(op, *read);
  if (const auto* write = std::get_if<WritesState>(&form)) return states_.write(op, *write);
  return false;
}

int Lowering::depth_behind(const ir::Operation& op) {
  const int depth = waiting_.depth_behind(op);
  if (depth <= kMaxDepth) return depth;
  for (const ir::Operand& operand : ir::operands(op)) {
    if (operand.value != nullptr) compute(operand.value);
  }
  return 0;
}

void Lowering::compute(const ir::Value* value) {
  const Waiting::Op* waiting = waiting_.find(value);
  if (waiting == nullptr || values_.find(value) != nullptr) return;
  if (waiting->row != nullptr) {
    fuser_.compute(value, *this);
  } else {
    emit(*waiting->op);
  }
}

void Lowering::note_buffer(std::vector<int>& list, const Where& where) {
  if (where.kind == Where::Kind::kPlace) add_once(list, where.place.ref.buffer);
}

bool Lowering::wait_for_rows(const ir::OpView& op, const RowRule& rule) {
  std::optional<RowDomain> domain = fuser_.domain(op, rule);
  if (!domain) return false;
  const ir::Operation& operation = op.operation();
  waiting_.add({&operation, &rule, std::move(*domain), depth_behind(operation)});
  return true;
}

bool Lowering::wait(const ir::Operation& op) {
  if (op.outputs.size() != 1) return false;
  const int depth = depth_behind(op);
  waiting_.add({.op = &op, .depth = depth});
  return true;
}

// Computes an op that has waited.
void Lowering::emit(const ir::Operation& op) {
  waiting_.erase(op.outputs[0].get());
  const ir::OpView view = block_.view(op, &frozen_);
  const ir::Operation* before = values_.read_for(&op);
  if (!as_kernel(view, *block_.of(op).maker)) as_reference(view);
  (void)values_.read_for(before);
}

// --- operations -----------------------------------------------------------------------------

bool Lowering::as_view(const ir::OpView& op, const ViewOf& form) {
  const Where x = values_.at(op.operand(form.input));
  if (x.kind != Where::Kind::kPlace) return false;
  const auto& outputs = op.operation().outputs;
  std::optional<std::vector<Place>> places = form.results(op, x.place);
  if (!places && !x.place.dense()) places = form.results(op, values_.dense(op.operand(form.input)));
  if (!places) return false;
  MW_CHECK(places->size() == outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    Place& result = (*places)[i];
    MW_CHECK(result.shape == outputs[i]->type.shape());
    MW_CHECK(result.dtype == outputs[i]->type.dtype());
    states_.note_alias(outputs[i].get(), result);
    values_.put(outputs[i].get(), std::move(result));
  }
  return true;
}

bool Lowering::as_kernel(const ir::OpView& op, const KernelMaker& maker) {
  return std::any_of(maker.makes.begin(), maker.makes.end(),
                     [&](const KernelMaker::Make& make) { return as_kernel(op, make); });
}

bool Lowering::as_kernel(const ir::OpView& op, const KernelMaker::Make& make) {
  Claim claim(block_, values_, waiting_, op, horizon_);
  std::unique_ptr<Kernel> kernel = make(claim);
  if (kernel == nullptr) return false;
  values_.plan().steps.push_back(claim.step(std::move(kernel)));
  return true;
}

void Lowering::as_reference(const ir::OpView& op) {
  const ir::Operation& operation = op.operation();
  Step step;
  step.op = &operation;
  step.kind = "reference";
  auto call = std::make_shared<ReferenceCall>();
  call->op = &operation;
  call->def = &op.def();
  call->opset = block_.opset();
  call->infers = !all_static(operation);
  for (const ir::Operand& used : ir::operands(operation)) {
    if (used.value == nullptr) continue;
    Where found = values_.at(used.value);
    if (found.kind == Where::Kind::kPlace && !found.place.dense()) {
      found.place = values_.dense(used);
    }
    note_buffer(step.reads, found);
    // Positions and extents that only a run knows are checked by inference.
    const ir::Type& type = used.value->type;
    call->infers |=
        found.kind != Where::Kind::kConstant && type.is_tensor() && is_integer(type.dtype());
    call->operands.emplace_back(used.value, std::move(found));
  }
  lower_blocks(operation, *call, step);
  for (const auto& output : operation.outputs) {
    Where result = values_.result(output->type);
    note_buffer(step.writes, result);
    values_.put(output.get(), result);
    call->results.push_back(std::move(result));
  }
  step.call = std::move(call);
  values_.plan().steps.push_back(std::move(step));
}

// What a nested block captures becomes an operand of the step.
void Lowering::lower_blocks(const ir::Operation& op, ReferenceCall& call, Step& step) {
  for (const auto& nested : op.blocks) {
    const BlockFacts block(block_.request(), block_.opset(), *nested, false);
    std::shared_ptr<Plan> inner = Lowering(block, frozen_).run();
    assign_memory(*inner, nullptr);
    for (size_t i = inner->argument_count; i < inner->inputs.size(); ++i) {
      const ir::Value* captured = inner->inputs[i].value;
      Where found = values_.at(captured);
      if (found.kind == Where::Kind::kPlace && !found.place.dense()) {
        found.place = values_.dense({const_cast<ir::Value*>(captured), nullptr});
      }
      note_buffer(step.reads, found);
      call.operands.emplace_back(captured, std::move(found));
    }
    call.blocks.push_back(std::move(inner));
  }
}

// --- outputs --------------------------------------------------------------------------------

void Lowering::finish_outputs() {
  (void)values_.read_for(nullptr);
  for (const ir::Value* value : block_.block().outputs) output(*value);
  for (const auto& op : block_.block().ops) {
    for (const auto& value : op->outputs) {
      if (block_.is_tapped(*value)) output(*value);
    }
  }
}

// A result that fills its arena buffer is computed in the caller's memory; all else is copied
// there.
bool Lowering::adopt_output(const Where& where, int index) {
  Buffer& buffer = values_.buffer(where.place.ref.buffer);
  if (buffer.kind != Buffer::Kind::kArena || where.place.ref.offset != 0 || !where.place.dense() ||
      where.place.nbytes() != buffer.bytes) {
    return false;
  }
  buffer.kind = Buffer::Kind::kOutput;
  buffer.index = index;
  return true;
}

void Lowering::output(const ir::Value& value) {
  const auto index = static_cast<int>(values_.plan().outputs.size());
  Where found = values_.at(&value);
  if (found.kind == Where::Kind::kPlace && !adopt_output(found, index)) {
    const Place copy = values_.place(Buffer::Kind::kOutput, found.place.dtype, found.place.shape);
    values_.plan().buffers.back().index = index;
    values_.copy(found.place, copy);
    found.place = copy;
  }
  values_.plan().outputs.push_back({value.name, value.type, std::move(found)});
}

std::shared_ptr<const Plan> make(std::unique_ptr<ir::Function> function, const Request& request) {
  sink_casts(*function, *request.platform.ops);
  ConstantPool described;  // its packed weights are none
  Request wanted = request;
  if (request.described) wanted.pool = &described;
  Frozen frozen(*request.platform.catalog, function->opset, *wanted.pool);
  const BlockFacts block(wanted, function->opset, function->body, true);
  std::shared_ptr<Plan> plan = Lowering(block, frozen).run();
  assign_memory(*plan, request.layout);
  plan->function = std::move(function);
  return plan;
}

}  // namespace mw::plan
