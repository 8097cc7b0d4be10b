// within_memory(): the plans of ops say which need no memory; the plans of candidates say what
// their ops cost and what they take.
#include "train/memory.h"

#include <string_view>
#include <unordered_map>

#include "autodiff/recompute.h"
#include "base/error.h"
#include "base/quantity_text.h"

namespace mw::training {
namespace {

using ir::Operation;
using ir::Value;

// Work per byte that an op touches where its plan states none, beside operations of products:
// elements come from memory at about a tenth of the speed at which they are multiplied.
constexpr double kWorkPerByte = 8;

double bytes_touched(const Operation& op) {
  int64_t bytes = 0;
  const auto add = [&](const Value* value) {
    if (value == nullptr || !value->type.is_tensor() || !value->type.is_static()) return;
    bytes += bytes_of(value->type.dtype(), count_of(value->type.shape()));
  };
  for (const ir::Operand& operand : ir::operands(op)) add(operand.value);
  for (const auto& output : op.outputs) add(output.get());
  return static_cast<double>(bytes);
}

const Value* viewed(const plan::OpPlans& plans, const Operation& op) {
  const auto* view = plans.form<plan::ViewOf>(op.type);
  if (view == nullptr) return nullptr;
  const Value* x = op.input(view->input);
  if (x == nullptr || !x->type.is_tensor()) return nullptr;
  for (const auto& output : op.outputs) {
    if (!output->type.is_tensor() || output->type.dtype() != x->type.dtype()) return nullptr;
  }
  return x;
}

// By the name of an op's first result; row programs are left out, they stand for many ops.
std::unordered_map<std::string, double> flops_of(const plan::Plan& plan) {
  std::unordered_map<std::string, double> flops;
  for (const plan::Step& step : plan.steps) {
    if (step.op == nullptr || step.op->outputs.empty() || std::string_view(step.kind) == "row") {
      continue;
    }
    flops[step.op->outputs[0]->name] += step.flops;
  }
  return flops;
}

autodiff::RecomputeHints hints_of(const plan::OpPlans& plans, const plan::Plan& plan) {
  autodiff::RecomputeHints hints;
  hints.viewed = [&plans](const Operation& op) { return viewed(plans, op); };
  hints.chains = [&plans](const Operation& op) { return plans.of(op.type).row.has_value(); };
  hints.work = [&plans, flops = flops_of(plan)](const Operation& op) {
    if (viewed(plans, op) != nullptr || op.outputs.empty()) return 0.0;
    const auto found = flops.find(op.outputs[0]->name);
    return kWorkPerByte * bytes_touched(op) + (found != flops.end() ? found->second : 0);
  };
  return hints;
}

}  // namespace

std::unique_ptr<ir::Function> within_memory(const ir::Function& function, const MemoryLimit& limit,
                                            const plan::Platform& platform,
                                            const exec::Planner& planner) {
  const exec::Footprint whole = planner(function);
  const uint64_t fixed = limit.beside + whole.weights;
  const bool least_of_all = limit.bytes == 0;
  if (!least_of_all && fixed + whole.arena <= limit.bytes) return ir::clone(function).function;
  const auto& results = function.body.outputs;
  MW_CHECK(results.size() >= 2);
  const std::vector<const Value*> ends = {results[0], results[1]};  // loss and count
  const auto within = [&](int64_t budget) {
    return autodiff::recompute(function, *platform.catalog, ends,
                               hints_of(*platform.ops, *whole.plan), budget,
                               [&](const ir::Function& candidate) {
                                 return static_cast<int64_t>(planner(candidate).arena);
                               });
  };
  autodiff::Recomputed changed =
      within(limit.bytes > fixed ? static_cast<int64_t>(limit.bytes - fixed) : 0);
  if (least_of_all && changed.function == nullptr) {
    if (changed.need >= static_cast<int64_t>(whole.arena)) return ir::clone(function).function;
    changed = within(changed.need);
  }
  if (changed.function != nullptr) return std::move(changed.function);
  const auto least = static_cast<uint64_t>(changed.need);
  fail(ErrorCode::kInvalidArgument,
       "{}: expected at least {} for a step with this batch ({} of them for weights and the "
       "optimiser's states), got {}; a smaller batch takes less, and so does a batch in parts "
       "({})",
       setting("memory"), memory_text(fixed + least), memory_text(fixed), memory_text(limit.bytes),
       setting("accumulate"));
}

}  // namespace mw::training
