// What moves behind the choice is found in the specialised functions, where types are static, and
// moved in the function itself, by the names that both have.
#include "ops/rewrites/one_position.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "ir/builder.h"
#include "ir/op_view.h"
#include "ops/parts.h"

namespace mw::ops {
namespace {

using ir::Operand;
using ir::Operation;
using ir::Value;

// An op that works on one position, of its results along `axis`.
struct Moved {
  int64_t axis = 0;
  Apart apart;
  bool operator==(const Moved&) const = default;
};
using MovedOps = std::map<std::string, Moved>;  // by the name of the first result

Value* output_named(const ir::Function& function, const std::string& name) {
  for (Value* output : function.body.outputs) {
    if (output->name == name) return output;
  }
  fail(ErrorCode::kInvalidArgument, "output '{}': there is none of that name", name);
}

// The ops of a specialised function that nobody needs more than one position of.
class Analysis {
 public:
  Analysis(const ir::Function& function, const ir::Catalog& catalog)
      : function_(function), catalog_(catalog) {}

  MovedOps moved(const std::vector<std::string>& whole, const std::vector<OutputAxis>& chosen) {
    for (const std::string& name : whole) whole_.insert(output_named(function_, name));
    for (const OutputAxis& each : chosen) want(output_named(function_, each.output), each.axis);
    reach();
    spread();
    MovedOps moved;
    for (const auto& [op, how] : reached_) {
      const bool alone = std::ranges::none_of(
          op->outputs, [&](const auto& output) { return whole_.contains(output.get()); });
      if (alone) moved[op->outputs[0]->name] = how;
    }
    return moved;
  }

 private:
  void want(const Value* value, int64_t axis) {
    const auto [found, is_new] = wanted_.emplace(value, axis);
    if (!is_new && found->second != axis) whole_.insert(value);
  }

  // All ops behind the outputs that treat positions by themselves. Where that ends, values are
  // needed as a whole.
  void reach() {
    for (auto at = function_.body.ops.rbegin(); at != function_.body.ops.rend(); ++at) {
      const Operation& op = **at;
      std::optional<int64_t> axis;
      for (const auto& output : op.outputs) {
        const auto found = wanted_.find(output.get());
        if (found == wanted_.end()) continue;
        if (axis && *axis != found->second) whole_.insert(output.get());
        axis = found->second;
      }
      if (!axis) continue;
      const auto apart = parts_along(op, *axis);
      if (!apart) {
        for (const auto& output : op.outputs) whole_.insert(output.get());
        continue;
      }
      reached_[&op] = {*axis, *apart};
      for (const ir::Input& input : op.inputs) {
        const auto part = std::ranges::find(apart->parts, input.name, &Apart::Part::input);
        for (const Operand& operand : input.operands) {
          if (operand.value == nullptr) continue;
          if (part == apart->parts.end()) {
            whole_.insert(operand.value);
          } else {
            want(operand.value, part->axis);
          }
        }
      }
    }
  }

  [[nodiscard]] std::optional<Apart> parts_along(const Operation& op, int64_t axis) const {
    if (op.is_const() || !op.blocks.empty()) return std::nullopt;
    for (const auto& output : op.outputs) {
      const ir::Type& type = output->type;
      if (!type.is_tensor() || !type.is_static() || axis >= type.rank()) return std::nullopt;
      if (type.shape()[static_cast<size_t>(axis)] < 2) return std::nullopt;
    }
    return parts_of(ir::OpView(op, catalog_.at(op, function_.opset), function_.opset), axis);
  }

  // To what the values that are needed as a whole are made of.
  void spread() {
    for (auto at = function_.body.ops.rbegin(); at != function_.body.ops.rend(); ++at) {
      const Operation& op = **at;
      const bool is_whole = std::ranges::any_of(
          op.outputs, [&](const auto& output) { return whole_.contains(output.get()); });
      if (is_whole || has_effect(op)) add_operands(op);
    }
  }
  [[nodiscard]] bool has_effect(const Operation& op) const {
    return !op.blocks.empty() || catalog_.at(op, function_.opset).has_trait(ir::kWritesState);
  }
  void add_operands(const Operation& op) {
    add_own_operands(op);
    for (const auto& block : op.blocks) {
      ir::for_each_op(*block, [&](const Operation& inner) { add_own_operands(inner); });
    }
  }
  void add_own_operands(const Operation& op) {
    for (const Operand& operand : ir::operands(op)) whole_.insert(operand.value);
    for (const auto& block : op.blocks) {
      whole_.insert(block->outputs.begin(), block->outputs.end());
    }
  }

  const ir::Function& function_;
  const ir::Catalog& catalog_;
  std::unordered_map<const Value*, int64_t> wanted_;  // one position of them, along that axis
  std::unordered_set<const Value*> whole_;
  std::unordered_map<const Operation*, Moved> reached_;
};

// Changes a function, by copies of the ops that move.
class Chooser {
 public:
  Chooser(ir::Function& function, const ir::Catalog& catalog, const MovedOps& moved)
      : function_(function), builder_(function.body, catalog, function.opset) {
    Operation* before = nullptr;
    for (const auto& op : function.body.ops) {
      if (before != nullptr) next_[before] = op.get();
      before = op.get();
    }
    end_ = builder_.constant(ir::Constant::boolean(false))->producer;
    if (before != nullptr) next_[before] = end_;
    first_ = function.body.ops.front().get();
    position_ =
        function.body.add_argument(builder_.fresh("position"), ir::Type::tensor(DType::kI32, {1}));
    for (Operation* op = first_; op != end_; op = next_.at(op)) {
      const auto moves = op->outputs.empty() ? moved.end() : moved.find(op->outputs[0]->name);
      if (moves != moved.end() && can_follow(*op, moves->second)) copy(*op, moves->second);
    }
  }

  [[nodiscard]] const std::string& position() const { return position_->name; }
  // The last call.
  void finish() {
    std::erase_if(function_.body.ops, [&](auto& op) { return op.get() == end_; });
  }

  void choose(const OutputAxis& output) {
    Value* every = output_named(function_, output.output);
    if (every->producer == nullptr) {
      fail(ErrorCode::kUnsupported, "output '{}': it is an input of the function", every->name);
    }
    Value* one = chosen({every, nullptr}, output.axis);
    std::swap(one->name, every->name);
    std::ranges::replace(function_.body.outputs, every, one);
  }

 private:
  // One position of a value: of an op that has moved, or picked.
  Value* chosen(const Operand& operand, int64_t axis) {
    if (operand.value == nullptr) return picked(operand, axis);
    const auto [known, is_new] = chosen_.try_emplace({operand.value, axis});
    if (is_new) known->second = picked(operand, axis);
    return known->second;
  }

  Value* picked(const Operand& operand, int64_t axis) {
    insert_behind(operand.value == nullptr ? nullptr : operand.value->producer);
    const ir::Type type = operand.value == nullptr ? operand.literal->type() : operand.value->type;
    const std::string name = operand.value == nullptr ? "constant" : operand.value->name;
    Operation* made =
        builder_.open("gather", {{"indices", position_}, {"axis", axis}}, name + "_chosen");
    made->set_input("x", {operand});
    return made->add_output(made->name(), with_one(type, axis));
  }

  static ir::Type with_one(const ir::Type& type, int64_t axis) {
    if (!type.has_rank()) return type;
    Shape shape = type.shape();
    shape.at(static_cast<size_t>(axis)) = 1;
    return ir::Type::tensor(type.dtype(), shape);
  }

  // Whether the input that says how many positions there are can be changed.
  [[nodiscard]] static bool can_follow(const Operation& op, const Moved& how) {
    if (!how.apart.extent) return true;
    const ir::Input* input = op.find_input(how.apart.extent->input);
    if (input == nullptr || input->operands.size() != 1) return false;
    if (ir::constant_of(input->operands[0]) != nullptr) return true;
    const ir::Value* value = input->operands[0].value;
    return value != nullptr && value->type.is_tensor() && value->type.is_static() &&
           value->type.dtype() == DType::kI32;
  }

  // The op again, with one position of some operands.
  void copy(const Operation& op, const Moved& how) {
    std::vector<ir::Input> inputs = op.inputs;
    for (ir::Input& input : inputs) {
      const auto part = std::ranges::find(how.apart.parts, input.name, &Apart::Part::input);
      for (Operand& operand : input.operands) {
        if (part != how.apart.parts.end()) operand = {chosen(operand, part->axis), nullptr};
      }
      if (how.apart.extent && how.apart.extent->input == input.name) {
        input.operands[0] = with_one_at(op, input.operands[0], how.apart.extent->index);
      }
    }
    insert_behind(&op);
    Operation* made = builder_.open(op.type, {}, op.name() + "_chosen");
    made->inputs = std::move(inputs);
    for (const auto& [name, value] : op.attributes) {
      if (name != "name") ir::set_attribute(made->attributes, name, value);
    }
    for (const auto& output : op.outputs) {
      const bool first = &output == &op.outputs.front();
      Value* value =
          made->add_output(first ? made->name() : builder_.fresh(output->name + "_chosen"),
                           with_one(output->type, how.axis));
      chosen_[{output.get(), how.axis}] = value;
    }
  }

  // A vector of integers with a 1 at `index`; specialisation evaluates the arithmetic.
  Operand with_one_at(const Operation& op, const Operand& operand, int64_t index) {
    if (const ir::ConstantPtr known = ir::constant_of(operand)) {
      Tensor changed = known->value().clone();
      changed.set_integer(index, 1);
      return {nullptr, ir::Constant::tensor(std::move(changed))};
    }
    insert_behind(&op);
    const int64_t count = count_of(operand.value->type.shape());
    Tensor kept(DType::kBool, {count}), ones(DType::kI32, {count});
    for (int64_t i = 0; i < count; ++i) {
      kept.set_integer(i, i != index ? 1 : 0);
      ones.set_integer(i, 1);
    }
    return {builder_.op("select", {{"cond", ir::Constant::tensor(kept)},
                                   {"a", operand.value},
                                   {"b", ir::Constant::tensor(ones)}}),
            nullptr};
  }

  void insert_behind(const Operation* op) {
    builder_.insert_before(op == nullptr ? first_ : next_.at(op));
  }

  ir::Function& function_;
  ir::Builder builder_;
  std::unordered_map<const Operation*, Operation*> next_;  // as the function was
  Operation *first_ = nullptr, *end_ = nullptr;            // the latter stands for the end
  Value* position_ = nullptr;
  std::map<std::pair<const Value*, int64_t>, Value*> chosen_;
};

}  // namespace

OnePosition one_position(const ir::Function& function,
                         const std::vector<std::unique_ptr<ir::Function>>& specialised,
                         const std::vector<std::string>& whole,
                         const std::vector<OutputAxis>& chosen, const ir::Catalog& catalog) {
  OnePosition made{ir::clone(function).function, ""};
  std::vector<Value*> outputs;
  outputs.reserve(whole.size() + chosen.size());
  for (const std::string& name : whole) outputs.push_back(output_named(*made.function, name));
  for (const OutputAxis& each : chosen) {
    outputs.push_back(output_named(*made.function, each.output));
  }
  made.function->body.outputs = std::move(outputs);
  if (chosen.empty()) return made;
  MovedOps moved;
  for (const auto& at : specialised) {
    MovedOps here = Analysis(*at, catalog).moved(whole, chosen);
    if (&at != &specialised.front()) {
      std::erase_if(here, [&](const auto& each) {
        const auto found = moved.find(each.first);
        return found == moved.end() || found->second != each.second;
      });
    }
    moved = std::move(here);
  }
  Chooser chooser(*made.function, catalog, moved);
  for (const OutputAxis& each : chosen) chooser.choose(each);
  chooser.finish();
  made.position = chooser.position();
  return made;
}

}  // namespace mw::ops
