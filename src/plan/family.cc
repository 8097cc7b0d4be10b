// PlanFamily: the ops in regions that depend on what varies and regions that do not. A plan for
// other shapes lowers the former again and takes the latter over, once it has seen that each region
// finds the buffers and places it was made for.
#include "plan/family.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "plan/lower.h"
#include "plan/pipeline.h"

namespace mw::plan {
namespace {

// A run of cheap ops this short between two varying regions is lowered with them.
constexpr size_t kShortRun = 8;

bool same_place(const Where& a, const Where& b) {
  return a.kind == b.kind && a.slot == b.slot && a.place.ref.buffer == b.place.ref.buffer &&
         a.place.ref.offset == b.place.ref.offset && a.place.dtype == b.place.dtype &&
         a.place.shape == b.place.shape && a.place.strides == b.place.strides;
}

// The operand in whose memory the results may lie; null: none.
const ir::Value* aliased_by(const ir::Operation& op, const OpPlan::Form& form) {
  if (const auto* view = std::get_if<ViewOf>(&form)) return op.input(view->input);
  if (const auto* view = std::get_if<MayView>(&form)) return op.input(view->input);
  if (const auto* update = std::get_if<UpdateOf>(&form)) return op.input(update->input);
  return nullptr;
}

template <class T>
void append(std::vector<T>& to, const std::vector<T>& from, size_t begin, size_t end) {
  to.insert(to.end(), from.begin() + static_cast<int64_t>(begin),
            from.begin() + static_cast<int64_t>(end));
}

}  // namespace

class PlanFamily::Impl {
 public:
  Impl(std::unique_ptr<ir::AdjustableFunction> adjustable, std::set<std::string> varying,
       const Request& request)
      : adjustable_(std::move(adjustable)),
        function_(adjustable_->function()),
        request_(without_layout(request)),
        varying_names_(std::move(varying)),
        casts_(prepared(*function_, request)),
        frozen_(*request.platform.catalog, function_->opset, *request.pool),
        block_(request_, function_->opset, function_->body, false) {
    cut_regions();
  }

  std::shared_ptr<const Plan> plan(const Shapes& shapes,
                                   const std::shared_ptr<const Layout>& layout) {
    if (!std::exchange(alive_, false) || !move_to(shapes)) return nullptr;
    Lowering lowering(block_, frozen_);
    for (const ir::Value* value : varying_constants_) frozen_.forget(value);
    lowering.bind_arguments();
    if (!(recorded_ ? lower_again(lowering) : lower_first(lowering))) return nullptr;
    if (!recorded_) made_ = lowering.values().plan();
    recorded_ = true;
    lowering.finish_outputs();
    const std::shared_ptr<Plan> plan = lowering.values().take_plan();
    assign_memory(*plan, layout);
    plan->function = function_;
    alive_ = true;
    return plan;
  }

  [[nodiscard]] const std::set<std::string>& varying() const { return varying_names_; }

 private:
  // Ops in a row, up to order `end`. What later regions use gets its place in it; copies and
  // constants are not shared between regions: each depends on nothing but the places of the values
  // it uses.
  struct Region {
    std::vector<const ir::Operation*> ops;
    std::vector<const ir::Operation*> live;             // those that something needs
    std::unordered_set<const ir::Operation*> constant;  // made of constants, as far as types tell
    std::vector<const ir::Value*> later;                // results that later regions use
    bool varies = false;
    size_t end = 0;
    // How much of the plan there is after it, and where values of `later` lie: all of them, or of a
    // region that varies those that do not.
    size_t buffers = 0, steps = 0, keeps = 0, weights = 0;
    int slots = 0;
    std::vector<std::pair<const ir::Value*, Where>> places;
  };

  static Request without_layout(Request request) {
    request.layout = nullptr;
    return request;
  }

  // False: the function for these shapes is another one.
  bool move_to(const Shapes& shapes) {
    std::vector<const ir::Value*> changed;
    if (!adjustable_->adjust(shapes, changed)) return false;
    for (ir::Value* value : casts_) {
      const Shape& shape = value->producer->input("x")->type.shape();
      if (value->type.shape() == shape) continue;
      value->type = ir::Type::tensor(value->type.dtype(), shape);
      changed.push_back(value);
    }
    const size_t known = varying_names_.size();
    for (const ir::Value* value : changed) {
      if (!varying_.contains(value)) varying_names_.insert(value->name);
    }
    if (varying_names_.size() > known) cut_regions();
    return std::ranges::all_of(changed, [&](const auto* v) { return varying_.contains(v); });
  }

  // By what is known to vary; nothing has been lowered of them.
  void cut_regions() {
    for (auto* values : {&varying_, &varying_constants_, &in_state_}) values->clear();
    varying_ops_.clear();
    constant_ops_.clear();
    regions_.clear();
    recorded_ = false;
    frozen_.clear();
    find_varying();
    make_regions();
  }

  // --- what varies ---

  bool touches_varying(const ir::Operation& op) const {
    for (const ir::Operand& operand : ir::operands(op)) {
      if (operand.value != nullptr && varying_.contains(operand.value)) return true;
    }
    return std::any_of(op.outputs.begin(), op.outputs.end(),
                       [&](const auto& output) { return varying_.contains(output.get()); });
  }

  // Beside the values named, what lies in a state (its protection against writes depends on the
  // order of all accesses) and what is made of constants that vary.
  void find_varying() {
    std::unordered_set<const ir::Value*> constant;
    for (const auto& argument : function_->body.arguments) {
      if (varying_names_.contains(argument->name)) varying_.insert(argument.get());
    }
    for (const auto& op : function_->body.ops) {
      bool made_of_constants = true;
      for (const ir::Operand& operand : ir::operands(*op)) {
        made_of_constants &= operand.value == nullptr || constant.contains(operand.value);
      }
      if (made_of_constants) constant_ops_.insert(op.get());
      const OpPlan::Form& form = op_plans().of(op->type).form;
      const ir::Value* aliased = aliased_by(*op, form);
      const bool in_state = std::holds_alternative<ReadsState>(form) ||
                            (aliased != nullptr && in_state_.contains(aliased));
      for (const auto& output : op->outputs) {
        if (made_of_constants) constant.insert(output.get());
        if (in_state) in_state_.insert(output.get());
        if (in_state || varying_names_.contains(output->name) ||
            (made_of_constants && touches_varying(*op))) {
          varying_.insert(output.get());
          if (made_of_constants) varying_constants_.insert(output.get());
        }
      }
      if (std::holds_alternative<WritesState>(form) || touches_varying(*op)) {
        varying_ops_.insert(op.get());
      }
    }
  }

  const OpPlans& op_plans() const { return *request_.platform.ops; }

  // Steps of such ops take no time to make.
  bool is_cheap(const ir::Operation& op) const {
    if (op.is_const()) return true;
    const OpPlan& plan = op_plans().of(op.type);
    return std::holds_alternative<ViewOf>(plan.form) || plan.row;
  }

  void make_regions() {
    std::vector<const ir::Operation*> ops;
    for (const auto& op : function_->body.ops) ops.push_back(op.get());
    for (size_t at = 0; at < ops.size();) {
      const bool varies = varying_ops_.contains(ops[at]);
      size_t end = at + 1;
      while (end < ops.size() && varying_ops_.contains(ops[end]) == varies) ++end;
      const auto work = std::count_if(ops.begin() + static_cast<int64_t>(at),
                                      ops.begin() + static_cast<int64_t>(end),
                                      [](const auto* op) { return !op->is_const(); });
      const bool joins = !varies && !regions_.empty() && end < ops.size() &&
                         static_cast<size_t>(work) <= kShortRun &&
                         std::all_of(ops.begin() + static_cast<int64_t>(at),
                                     ops.begin() + static_cast<int64_t>(end),
                                     [&](const auto* op) { return is_cheap(*op); });
      if (regions_.empty() || !(joins || regions_.back().varies == varies)) {
        regions_.emplace_back().varies = varies;
      }
      append(regions_.back().ops, ops, at, end);
      regions_.back().end = end;
      at = end;
    }
    for (Region& region : regions_) {
      for (const ir::Operation* op : region.ops) {
        if (!block_.is_dead(*op)) region.live.push_back(op);
        if (constant_ops_.contains(op)) region.constant.insert(op);
        for (const auto& value : op->outputs) {
          if (block_.needed_after(value.get(), region.end - 1)) {
            region.later.push_back(value.get());
          }
        }
      }
    }
  }

  // --- lowering ---

  static bool sound(const Values& values) {
    return !values.has_moved() && values.plan().inputs.size() == values.plan().argument_count;
  }

  // Steps that are run by the reference read the function, which changes.
  static bool follows(const Region& region, const Plan& plan, size_t first_step) {
    const auto& steps = plan.steps;
    return !region.varies ||
           std::all_of(steps.begin() + static_cast<int64_t>(first_step), steps.end(),
                       [](const Step& step) { return step.call == nullptr; });
  }

  void lower_region(const Region& region, Lowering& lowering) {
    lowering.open_region(region.end);
    for (const ir::Operation* op : region.live) {
      if (region.constant.contains(op) && frozen_.note(*op, *block_.of(*op).def)) continue;
      lowering.lower(*op);
    }
    lowering.close_region(region.later);
  }

  bool lower_first(Lowering& lowering) {
    const Plan& plan = lowering.values().plan();
    for (Region& region : regions_) {
      const size_t first_step = plan.steps.size();
      lower_region(region, lowering);
      if (!follows(region, plan, first_step)) return false;
      region.buffers = plan.buffers.size();
      region.steps = plan.steps.size();
      region.keeps = plan.keeps.size();
      region.weights = plan.weights.size();
      region.slots = plan.slot_count;
      for (const ir::Value* value : region.later) {
        const Where* found = lowering.values().find(value);
        if (found == nullptr || varying_.contains(value)) continue;
        region.places.emplace_back(value, *found);
      }
    }
    return sound(lowering.values());
  }

  bool lower_again(Lowering& lowering) {
    static const Region kNone;
    const Region* before = &kNone;
    for (const Region& region : regions_) {
      if (region.varies) {
        if (!lower_varying(region, lowering)) return false;
      } else {
        take_over(*before, region, lowering.values());
      }
      before = &region;
    }
    return sound(lowering.values());
  }

  bool lower_varying(const Region& region, Lowering& lowering) {
    const Plan& plan = lowering.values().plan();
    const size_t first_buffer = plan.buffers.size(), first_step = plan.steps.size();
    lower_region(region, lowering);
    if (plan.buffers.size() != region.buffers || plan.steps.size() != region.steps ||
        plan.slot_count != region.slots || !follows(region, plan, first_step)) {
      return false;
    }
    for (size_t b = first_buffer; b < plan.buffers.size(); ++b) {
      if (plan.buffers[b].kind != made_.buffers[b].kind) return false;
    }
    return std::all_of(region.places.begin(), region.places.end(), [&](const auto& item) {
      const Where* found = lowering.values().find(item.first);
      return found != nullptr && same_place(*found, item.second);
    });
  }

  void take_over(const Region& before, const Region& region, Values& values) {
    Plan& plan = values.plan();
    const size_t first_buffer = plan.buffers.size();
    append(plan.buffers, made_.buffers, first_buffer, region.buffers);
    append(plan.steps, made_.steps, plan.steps.size(), region.steps);
    append(plan.keeps, made_.keeps, before.keeps, region.keeps);
    append(plan.weights, made_.weights, before.weights, region.weights);
    plan.slot_count = region.slots;
    for (const auto& [value, where] : region.places) values.put(value, where);
  }

  std::unique_ptr<ir::AdjustableFunction> adjustable_;
  std::shared_ptr<ir::Function> function_;
  Request request_;
  std::set<std::string> varying_names_;
  std::vector<ir::Value*> casts_;
  Frozen frozen_;
  BlockFacts block_;
  std::unordered_set<const ir::Value*> varying_, varying_constants_, in_state_;
  std::unordered_set<const ir::Operation*> varying_ops_, constant_ops_;
  std::vector<Region> regions_;
  Plan made_;  // the first plan before its outputs
  bool recorded_ = false, alive_ = true;
};

PlanFamily::PlanFamily(std::unique_ptr<ir::AdjustableFunction> function,
                       std::set<std::string> varying, const Request& request)
    : impl_(std::make_unique<Impl>(std::move(function), std::move(varying), request)) {}
PlanFamily::~PlanFamily() = default;

std::shared_ptr<const Plan> PlanFamily::plan(const Shapes& shapes,
                                             const std::shared_ptr<const Layout>& layout) {
  return impl_->plan(shapes, layout);
}
const std::set<std::string>& PlanFamily::varying() const { return impl_->varying(); }

}  // namespace mw::plan
