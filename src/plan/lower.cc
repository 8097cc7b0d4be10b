// Lowering: the loop.
#include "plan/lower.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "plan/claim.h"
#include "plan/outputs.h"
#include "plan/pipeline.h"
#include "plan/reference_step.h"

namespace mw::plan {
namespace {

// A longer chain of waiting ops is computed, so that neither its evaluation nor a search through it
// recurses without bound.
constexpr int kMaxDepth = 48;

}  // namespace

Lowering::Lowering(const BlockFacts& block, Frozen& frozen)
    : block_(block),
      frozen_(frozen),
      values_(block, frozen, *this),
      states_(block, values_, waiting_, *this),
      fuser_(block, values_, waiting_, states_),
      horizon_(kNoHorizon) {}

std::shared_ptr<Plan> Lowering::run() {
  bind_arguments();
  for (const auto& op : block_.block().ops) {
    const ir::OpDef& def = *block_.of(*op).def;
    if (frozen_.note(*op, def)) continue;
    if (!block_.is_dead(*op)) lower(*op);
  }
  finish_outputs();
  states_.write_in_place();
  return values_.take_plan();
}

void Lowering::bind_arguments() {
  for (const auto& argument : block_.block().arguments) values_.bind_input(*argument);
  values_.plan().argument_count = values_.plan().inputs.size();
  states_.bind();
}

void Lowering::lower(const ir::Operation& op) {
  if (op.outputs.size() == 1 && values_.find(op.outputs[0].get()) != nullptr) return;  // absorbed
  (void)values_.read_for(&op);
  const ir::OpView view = block_.view(op, &frozen_);
  const bool planned = all_static(op) && (as_form(view, block_.of(op).plan->form) ||
                                          as_waiting(view) || as_kernel(view));
  if (!planned) as_reference(view);
}

void Lowering::finish_outputs() {
  (void)values_.read_for(nullptr);
  add_outputs(block_, values_);
}

void Lowering::close_region(const std::vector<const ir::Value*>& later) {
  for (const ir::Value* value : later) compute(value);
  waiting_.clear();
  values_.forget_shared();
  horizon_ = kNoHorizon;
}

bool Lowering::as_form(const ir::OpView& op, const OpPlan::Form& form) {
  if (const auto* view = std::get_if<ViewOf>(&form)) {
    return as_view(op, view->input, view->results, view->moving);
  }
  if (const auto* view = std::get_if<MayView>(&form)) {
    return !frozen_.holds(op.operand(view->input)) &&
           as_view(op, view->input, view->results, view->moving);
  }
  if (const auto* update = std::get_if<UpdateOf>(&form)) return states_.update(op, *update);
  if (const auto* read = std::get_if<ReadsState>(&form)) return states_.read(op, *read);
  if (const auto* write = std::get_if<WritesState>(&form)) return states_.write(op, *write);
  return false;
}

// Where it is one of a copy without gaps alone, the copy is put off: a kernel may do without.
bool Lowering::as_view(const ir::OpView& op, std::string_view input, const ViewRule& results,
                       const MovingRule& moving) {
  if (!may_be_view(op, op.operand(input), results, moving)) return false;
  const Where x = values_.at(op.operand(input));
  if (x.kind != Where::Kind::kPlace) return false;
  if (std::optional<std::vector<Place>> places = results(op, x.place)) {
    put_views(op, std::move(*places));
    return true;
  }
  if (moving && as_moving_view(op, x.place, moving)) return true;
  Place gapless = x.place;
  gapless.strides = row_major(gapless.shape);
  if (x.place.dense() || !results(op, gapless)) return false;
  const ir::Operation& operation = op.operation();
  if (operation.outputs.size() != 1 || block_.is_used_late(operation)) return as_gapless_view(op);
  waiting_.add({&operation, nullptr, {}, depth_behind(operation)});
  return true;
}

// Whether of an operand without gaps it would be one: no copy that was put off is made for nothing,
// and no kernel that may take over this very op.
bool Lowering::may_be_view(const ir::OpView& op, const ir::Operand& operand,
                           const ViewRule& results, const MovingRule& moving) {
  const Waiting::Op* waits = operand.value != nullptr ? waiting_.find(operand.value) : nullptr;
  if (waits == nullptr || waits->row != nullptr) return true;
  const ir::Type& type = operand.value->type;
  const Place gapless{{}, type.dtype(), type.shape(), row_major(type.shape())};
  return results(op, gapless) || (moving && moving(op, gapless));
}

bool Lowering::as_moving_view(const ir::OpView& op, const Place& x, const MovingRule& moving) {
  std::optional<MovingPart> part = moving(op, x);
  if (!part) return false;
  put_views(op, {values_.window(op, std::move(*part))});
  return true;
}

void Lowering::put_views(const ir::OpView& op, std::vector<Place> places) {
  const auto& outputs = op.operation().outputs;
  MW_CHECK(places.size() == outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    Place& result = places[i];
    MW_CHECK(result.shape == outputs[i]->type.shape());
    MW_CHECK(result.dtype == outputs[i]->type.dtype());
    states_.note_alias(outputs[i].get(), result);
    values_.put(outputs[i].get(), std::move(result));
  }
}

// A view that was put off, of a copy.
bool Lowering::as_gapless_view(const ir::OpView& op) {
  const auto* form = block_.op_plans().form<ViewOf>(op.operation().type);
  if (form == nullptr) return false;
  Place gapless = values_.at(op.operand(form->input)).place;
  gapless.strides = row_major(gapless.shape);
  if (!form->results(op, gapless)) return false;
  put_views(op, *form->results(op, values_.dense(op.operand(form->input))));
  return true;
}

int Lowering::depth_behind(const ir::Operation& op) {
  const int depth = waiting_.depth_behind(op);
  if (depth <= kMaxDepth) return depth;
  for (const ir::Operand& operand : ir::operands(op)) {
    if (operand.value != nullptr) compute(operand.value);
  }
  return 0;
}

// As a part of a row program, or as a kernel on demand. What is used far below is computed at once.
bool Lowering::as_waiting(const ir::OpView& view) {
  const ir::Operation& op = view.operation();
  const BlockFacts::Op facts = block_.of(op);
  std::optional<RowDomain> domain;
  if (facts.plan->row && block_.backend().runs_rows()) {
    domain = fuser_.domain(view, *facts.plan->row);
  }
  const bool on_demand = facts.maker != nullptr && facts.maker->waits && op.outputs.size() == 1;
  if (!domain && !on_demand) return false;
  const int depth = depth_behind(op);
  waiting_.add(domain ? Waiting::Op{&op, &*facts.plan->row, std::move(*domain), depth}
                      : Waiting::Op{&op, nullptr, {}, depth});
  if (block_.is_used_late(op)) compute(op.outputs[0].get());
  return true;
}

void Lowering::compute(const ir::Value* value) {
  const Waiting::Op* waiting = waiting_.find(value);
  if (waiting == nullptr || values_.find(value) != nullptr) return;
  if (waiting->row != nullptr) return fuser_.compute(value, *this);
  const ir::Operation& op = *waiting->op;
  waiting_.erase(value);
  const ir::OpView view = block_.view(op, &frozen_);
  const ir::Operation* before = values_.read_for(&op);
  if (!as_gapless_view(view) && !as_kernel(view)) as_reference(view);
  (void)values_.read_for(before);
}

bool Lowering::as_kernel(const ir::OpView& op) {
  const KernelMaker* maker = block_.of(op.operation()).maker;
  if (maker == nullptr) return false;
  for (const KernelMaker::Make& make : maker->makes) {
    Claim claim(block_, values_, waiting_, op, horizon_);
    std::unique_ptr<Kernel> kernel = make(claim);
    if (kernel == nullptr) continue;
    values_.plan().steps.push_back(claim.step(std::move(kernel)));
    return true;
  }
  return false;
}

void Lowering::as_reference(const ir::OpView& op) {
  values_.plan().steps.push_back(reference_step(block_, values_, op, [&](const ir::Block& nested) {
    const BlockFacts block(block_.request(), block_.opset(), nested, false);
    std::shared_ptr<Plan> plan = Lowering(block, frozen_).run();
    assign_memory(*plan, nullptr);
    return plan;
  }));
}

std::shared_ptr<const Plan> make(std::unique_ptr<ir::Function> function, const Request& request) {
  (void)prepared(*function, request);
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
