// sink_casts():
//
//   c = cast(r, "fp32")                      s = slice_by_index(r)
//   s = slice_by_index(c)            =>      s' = cast(s, "fp32")
//
//   c = cast(r, "fp32")
//   u = slice_update(c, update)              u = slice_update(r, cast(update, "fp16"))
//   w = cast(u, "fp16")              =>      w = u
#include "plan/sink_casts.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "ir/cast.h"
#include "ir/names.h"
#include "ir/widening.h"

namespace mw::plan {
namespace {

using ir::Operation;
using ir::Type;
using ir::Value;

// What `value` widens, or null.
Value* widened(Value* value) {
  const ir::Operand* narrow = ir::before_widening({value, nullptr});
  return narrow != nullptr ? narrow->value : nullptr;
}

bool is_constant(const Value* value) { return ir::constant_of(value) != nullptr; }

int64_t count_of_static(const Type& type) {
  return type.is_static() ? count_of(type.shape()) : std::numeric_limits<int64_t>::max();
}

class Sinker {
 public:
  Sinker(ir::Function& function, const OpPlans& plans)
      : body_(function.body), plans_(plans), names_(function.body) {}

  std::vector<Value*> run() {
    uses_ = ir::uses_in(body_);
    for (auto at = body_.ops.begin(); at != body_.ops.end(); ++at) {
      if (!(*at)->blocks.empty()) continue;
      const OpPlan& plan = plans_.of((*at)->type);
      if (!plan.moved().empty() && may_sink(**at, plan)) sink(at, plan.moved());
      if (const auto* update = std::get_if<UpdateOf>(&plan.form)) narrow(at, *update);
      if (const auto* write = std::get_if<WritesState>(&plan.form)) cast_data(at, *write);
    }
    return std::move(added_);
  }

 private:
  using Position = std::list<std::unique_ptr<Operation>>::iterator;

  // Constants are cast once, but for a view of a part of them: the rest need not be.
  static bool may_sink(const Operation& op, const OpPlan& plan) {
    Value* x = op.input(plan.moved());
    const Value* source = x != nullptr ? widened(x) : nullptr;
    if (source == nullptr) return false;
    if (!is_constant(source)) return true;
    return std::holds_alternative<ViewOf>(plan.form) && op.outputs.size() == 1 &&
           op.outputs[0]->type.is_tensor() &&
           count_of_static(op.outputs[0]->type) < count_of_static(x->type);
  }

  // A cast of `x` placed before `position`.
  Value* add_cast(Position position, Value* x, DType dtype, const std::string& name) {
    auto op = ir::make_cast(x, dtype, name, body_);
    Value* out = op->outputs[0].get();
    uses_[x].push_back({op.get(), nullptr, 0, 0});
    added_.push_back(out);
    body_.ops.insert(position, std::move(op));
    return out;
  }

  void replace_uses(Value* from, Value* to, const Operation* except) {
    std::vector<ir::Use> kept;
    for (const ir::Use& use : uses_[from]) {
      if (use.op == except && use.op != nullptr) {
        kept.push_back(use);
        continue;
      }
      if (use.op != nullptr) {
        use.op->inputs[use.input].operands[use.operand].value = to;
      } else {
        use.block->outputs[use.operand] = to;
      }
      uses_[to].push_back(use);
    }
    uses_[from] = std::move(kept);
  }

  void set_operand(Operation& op, std::string_view input, Value* from, Value* to) {
    op.set_input(std::string(input), {{to, nullptr}});
    std::erase_if(uses_[from], [&](const ir::Use& use) { return use.op == &op; });
    const auto found = std::find_if(op.inputs.begin(), op.inputs.end(),
                                    [&](const ir::Input& item) { return item.name == input; });
    uses_[to].push_back({&op, nullptr, static_cast<size_t>(found - op.inputs.begin()), 0});
  }

  void sink(Position at, std::string_view input) {
    Operation& op = **at;
    Value* x = op.input(input);
    Value* source = widened(x);
    // A cast says itself of what dtype its result is, also where it changes nothing.
    if (op.outputs.size() != 1 || op.type == ir::kCastOp) return;
    Value* out = op.outputs[0].get();
    if (!out->type.is_tensor() || out->type.dtype() != x->type.dtype()) return;
    set_operand(op, input, x, source);
    out->type = Type::tensor(source->type.dtype(), out->type.shape());
    const std::string name = out->name;
    out->name = names_.fresh(name + "_narrow");
    Value* wide = add_cast(std::next(at), out, x->type.dtype(), name);
    replace_uses(out, wide, wide->producer);
  }

  // Whether all uses round the value to `dtype` at once.
  bool only_narrowed(const Value* value, DType dtype) const {
    const auto uses = uses_.find(value);
    if (uses == uses_.end() || uses->second.empty()) return false;
    return std::all_of(uses->second.begin(), uses->second.end(), [&](const ir::Use& use) {
      if (use.op == nullptr || use.op->parent != &body_) return false;
      if (use.op->type == ir::kCastOp) return use.op->outputs[0]->type.dtype() == dtype;
      const auto* write = plans_.form<WritesState>(use.op->type);
      if (write == nullptr) return false;
      const Value* state = use.op->input(write->state);
      return state != nullptr && state->type.is_state() && state->type.dtype() == dtype;
    });
  }

  bool is_output(const Value* value) const {
    return std::find(body_.outputs.begin(), body_.outputs.end(), value) != body_.outputs.end();
  }

  void narrow(Position at, const UpdateOf& form) {
    Operation& op = **at;
    Value* x = op.input(form.input);
    Value* update = op.input(form.update);
    Value* source = widened(x);
    if (source == nullptr || is_constant(source)) return;
    if (update == nullptr || op.outputs.size() != 1) return;
    Value* out = op.outputs[0].get();
    const DType dtype = source->type.dtype();
    if (!only_narrowed(out, dtype)) return;
    Value* rounded = add_cast(at, update, dtype, names_.fresh(update->name + "_narrow"));
    set_operand(op, form.input, x, source);
    set_operand(op, form.update, update, rounded);
    out->type = source->type;
    for (const ir::Use& use : std::vector<ir::Use>(uses_[out])) {
      if (use.op->type != ir::kCastOp) continue;
      Value* narrowed = use.op->outputs[0].get();
      if (is_output(narrowed)) std::swap(narrowed->name, out->name);
      replace_uses(narrowed, out, nullptr);
    }
  }

  void cast_data(Position at, const WritesState& form) {
    Operation& op = **at;
    Value* data = op.input(form.data);
    const Value* state = op.input(form.state);
    if (data == nullptr || state == nullptr || !state->type.is_state()) return;
    const Type& wanted = state->type.element();
    if (!wanted.is_tensor() || !data->type.is_tensor() || data->type.dtype() == wanted.dtype()) {
      return;
    }
    set_operand(op, form.data, data,
                add_cast(at, data, wanted.dtype(), names_.fresh(data->name + "_stored")));
  }

  ir::Block& body_;
  const OpPlans& plans_;
  std::unordered_map<const Value*, std::vector<ir::Use>> uses_;
  ir::Names names_;
  std::vector<Value*> added_;
};

}  // namespace

std::vector<Value*> sink_casts(ir::Function& function, const OpPlans& plans) {
  return Sinker(function, plans).run();
}

}  // namespace mw::plan
