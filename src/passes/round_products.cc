// round_products(): one walk that finds what is rounded, one that puts the casts behind it.
#include "passes/round_products.h"

#include <unordered_set>

#include "ir/cast.h"
#include "ir/names.h"
#include "ir/widening.h"

namespace mw::passes {
namespace {

using ir::Block;
using ir::Operand;
using ir::Operation;
using ir::Value;
using Position = std::list<std::unique_ptr<Operation>>::iterator;

bool is_computed_float(const ir::Type& type) {
  return type.is_tensor() && (type.dtype() == DType::kF32 || type.dtype() == DType::kF64);
}

class Rounder {
 public:
  Rounder(ir::Function& function, const ir::Catalog& catalog)
      : function_(function),
        catalog_(catalog),
        uses_(ir::uses_in(function.body)),
        names_(function.body) {
    note(function.body);
  }

  void run() {
    find(function_.body);
    if (results_.empty() && factors_.empty()) return;
    place(function_.body);
  }

 private:
  [[nodiscard]] const ir::OpDef& def_of(const Operation& op) const {
    return catalog_.at(op, function_.opset);
  }
  [[nodiscard]] static bool has_flag(const ir::OpDef& def, const ir::Input& input, uint32_t flag) {
    const ir::InputSpec* spec = def.find_input(input.name);
    return spec != nullptr && (spec->flags & flag) != 0;
  }

  void note(Block& block) {
    for (auto at = block.ops.begin(); at != block.ops.end(); ++at) {
      positions_.emplace(at->get(), at);
      note_written(**at);
      for (const auto& nested : (*at)->blocks) note(*nested);
    }
  }

  void note_written(const Operation& op) {
    if (!def_of(op).has_trait(ir::kWritesState)) return;
    for (const Operand& operand : ir::operands(op)) {
      if (operand.value != nullptr && operand.value->type.is_state()) {
        written_.insert(operand.value);
      }
    }
  }

  // The operand whose elements the op's result holds; null: it computes, or takes several.
  [[nodiscard]] const Operand* moved(const Operation& op) const {
    const ir::OpDef& def = def_of(op);
    if (!def.has_trait(ir::kMovesElements | ir::kSlices) || def.inputs().empty()) return nullptr;
    const ir::Input* data = op.find_input(def.inputs().front().name);
    return data != nullptr && data->operands.size() == 1 ? &data->operands[0] : nullptr;
  }

  // What `operand` is before its elements were moved and cast.
  [[nodiscard]] const Operand& origin(const Operand& operand) const {
    const Operand* at = &operand;
    while (at->value != nullptr && at->value->producer != nullptr) {
      const Operand* before = moved(*at->value->producer);
      if (before == nullptr) break;
      at = before;
    }
    return *at;
  }

  [[nodiscard]] bool is_weight(const Operand& operand) const {
    const Operand& from = origin(operand);
    if (ir::constant_of(from) != nullptr) return true;
    const Operation* op = from.value != nullptr ? from.value->producer : nullptr;
    if (op == nullptr) return false;
    const ir::OpDef& def = def_of(*op);
    if (def.has_trait(ir::kConstexpr)) return true;
    if (!def.has_trait(ir::kReadsState) || op->inputs.empty()) return false;
    const auto& state = op->inputs[0].operands;
    return state.size() == 1 && !written_.contains(state[0].value);
  }

  // Whether its elements are those of a rounded result, or stay as they are.
  [[nodiscard]] bool is_settled(const Operand& operand) const {
    const Operand* at = &operand;
    while (at->value != nullptr) {
      if (results_.contains(at->value)) return true;
      const Operation* op = at->value->producer;
      if (op == nullptr) return false;
      const ir::OpDef& def = def_of(*op);
      if (def.has_trait(ir::kUnrounded | ir::kConstexpr)) return true;
      if (ir::before_widening(*at, DType::kBF16) != nullptr) return true;
      at = moved(*op);
      if (at == nullptr) return false;
    }
    return false;
  }

  // Whether it becomes an output or a loss is of it, with its elements as they are.
  [[nodiscard]] bool is_exact(const Value* value) const {
    const auto uses = uses_.find(value);
    if (uses == uses_.end()) return false;
    for (const ir::Use& use : uses->second) {
      if (use.op == nullptr) return true;
      const ir::OpDef& def = def_of(*use.op);
      if (has_flag(def, use.op->inputs[use.input], ir::kExact)) return true;
      const bool moves = def.has_trait(ir::kMovesElements | ir::kSlices);
      if (moves && use.op->outputs.size() == 1 && is_exact(use.op->outputs[0].get())) return true;
    }
    return false;
  }

  void find(const Block& block) {
    for (const auto& op : block.ops) {
      find_factors(*op);
      for (const auto& nested : op->blocks) find(*nested);
    }
  }

  void find_factors(Operation& op) {
    const ir::OpDef& def = def_of(op);
    bool is_product = false, has_weight = false;
    for (const ir::InputSpec& spec : def.inputs()) {
      const bool is_switch = spec.dtypes == std::vector{DType::kBool};
      if (!is_switch || (spec.flags & ir::kFactor) == 0) continue;
      op.set_input(spec.name, {{nullptr, ir::Constant::boolean(true)}});
    }
    for (ir::Input& input : op.inputs) {
      if (!has_flag(def, input, ir::kFactor)) continue;
      for (Operand& operand : input.operands) {
        const ir::Type& type =
            operand.literal != nullptr ? operand.literal->type() : operand.value->type;
        if (!is_computed_float(type)) continue;
        is_product = true;
        has_weight |= is_weight(operand);
        if (is_settled(operand)) continue;
        if (operand.literal != nullptr) {
          const Tensor narrow = operand.literal->value().to(DType::kBF16);
          operand.literal = ir::Constant::tensor(narrow.to(type.dtype()));
        } else {
          factors_.insert(operand.value);
        }
      }
    }
    const bool rounded = is_product && has_weight && op.outputs.size() == 1 &&
                         is_computed_float(op.outputs[0]->type);
    if (rounded && !is_exact(op.outputs[0].get())) results_.insert(op.outputs[0].get());
  }

  // The rounding goes right behind what it is of; whoever uses it widens it again.
  void place(Block& block) {
    for (const auto& argument : block.arguments) round(block, block.ops.begin(), argument.get());
    for (auto at = block.ops.begin(); at != block.ops.end();) {
      Operation& op = **at;
      for (const auto& nested : op.blocks) place(*nested);
      ++at;
      for (const auto& output : op.outputs) round(block, at, output.get());
    }
  }

  Value* cast(Block& block, Position before, Value* x, DType dtype) {
    const std::string name = names_.fresh(fmt::format("{}_{}", x->name, name_of(dtype)));
    const Position made = block.ops.insert(before, ir::make_cast(x, dtype, name, block));
    return (*made)->outputs[0].get();
  }

  void round(Block& block, Position before, Value* value) {
    const bool all = results_.contains(value);
    if (!all && !factors_.contains(value)) return;
    const DType dtype = value->type.dtype();
    Value* narrow = cast(block, before, value, DType::kBF16);
    const Operation* last = nullptr;  // the uses of an op are one after the other
    Value* wide = nullptr;
    for (const ir::Use& use : uses_.at(value)) {
      if (use.op == nullptr) {
        use.block->outputs[use.operand] = cast(*use.block, use.block->ops.end(), narrow, dtype);
        continue;
      }
      ir::Input& input = use.op->inputs[use.input];
      if (!all && !has_flag(def_of(*use.op), input, ir::kFactor)) continue;
      if (use.op != last) wide = cast(*use.op->parent, positions_.at(use.op), narrow, dtype);
      last = use.op;
      input.operands[use.operand].value = wide;
    }
  }

  ir::Function& function_;
  const ir::Catalog& catalog_;
  std::unordered_map<const Value*, std::vector<ir::Use>> uses_;
  ir::Names names_;
  std::unordered_map<const Operation*, Position> positions_;
  std::unordered_set<const Value*> written_;  // states
  std::unordered_set<const Value*> results_;  // rounded for all who use them
  std::unordered_set<const Value*> factors_;  // rounded where they are factors
};

}  // namespace

void round_products(ir::Function& function, const ir::Catalog& catalog) {
  Rounder(function, catalog).run();
}

}  // namespace mw::passes
