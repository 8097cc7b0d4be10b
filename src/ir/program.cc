// Program tree: lookups, construction, deep copies and use lists.
#include "ir/program.h"

#include "base/error.h"

namespace mw::ir {

ConstantPtr find_attribute(const Attributes& attributes, std::string_view name) {
  for (const auto& [key, value] : attributes) {
    if (key == name) return value;
  }
  return nullptr;
}

void set_attribute(Attributes& attributes, std::string_view name, ConstantPtr value) {
  for (auto& [key, existing] : attributes) {
    if (key == name) {
      existing = std::move(value);
      return;
    }
  }
  attributes.emplace_back(name, std::move(value));
}

Value* Block::add_argument(std::string name, Type type) {
  auto value = std::make_unique<Value>();
  value->name = std::move(name);
  value->type = std::move(type);
  value->block = this;
  value->index = arguments.size();
  arguments.push_back(std::move(value));
  return arguments.back().get();
}

std::string Operation::name() const {
  const ConstantPtr attribute = find_attribute(attributes, "name");
  if (attribute && attribute->is_tensor() && attribute->type().dtype() == DType::kString &&
      attribute->value().count() > 0) {
    return attribute->value().data<std::string>()[0];
  }
  return outputs.empty() ? "" : outputs[0]->name;
}

const Input* Operation::find_input(std::string_view name) const {
  for (const Input& input : inputs) {
    if (input.name == name) return &input;
  }
  return nullptr;
}

Value* Operation::input(std::string_view name) const {
  const Input* found = find_input(name);
  return found != nullptr && found->operands.size() == 1 ? found->operands[0].value : nullptr;
}

void Operation::set_input(std::string_view name, std::vector<Operand> operands) {
  for (Input& input : inputs) {
    if (input.name == name) {
      input.operands = std::move(operands);
      return;
    }
  }
  inputs.push_back({std::string(name), std::move(operands)});
}

Value* Operation::add_output(std::string name, Type type) {
  auto value = std::make_unique<Value>();
  value->name = std::move(name);
  value->type = std::move(type);
  value->producer = this;
  value->block = parent;
  value->index = outputs.size();
  outputs.push_back(std::move(value));
  return outputs.back().get();
}

Block* Operation::add_block() {
  blocks.push_back(std::make_unique<Block>());
  blocks.back()->parent = this;
  blocks.back()->function = parent != nullptr ? parent->function : nullptr;
  return blocks.back().get();
}

ConstantPtr constant_of(const Value* value) {
  if (value == nullptr || value->producer == nullptr || !value->producer->is_const()) {
    return nullptr;
  }
  return find_attribute(value->producer->attributes, "val");
}

ConstantPtr constant_of(const Operand& operand) {
  return operand.literal ? operand.literal : constant_of(operand.value);
}

Value* Function::find_argument(std::string_view name) const {
  for (const auto& argument : body.arguments) {
    if (argument->name == name) return argument.get();
  }
  return nullptr;
}

Function* Program::add_function(std::string name, Opset opset) {
  functions.push_back(std::make_unique<Function>());
  functions.back()->name = std::move(name);
  functions.back()->opset = opset;
  return functions.back().get();
}

Function* Program::find_function(std::string_view name) const {
  for (const auto& function : functions) {
    if (function->name == name) return function.get();
  }
  return nullptr;
}

namespace {

Value* mapped(const ValueMap& map, Value* value) {
  const auto found = map.find(value);
  return found == map.end() ? value : found->second;
}

void clone_block(const Block& from, Block& to, ValueMap& map) {
  to.name = from.name;
  to.attributes = from.attributes;
  for (const auto& argument : from.arguments) {
    map[argument.get()] = to.add_argument(argument->name, argument->type);
  }
  for (const auto& op : from.ops) clone_into(*op, to, map);
  for (Value* output : from.outputs) to.outputs.push_back(mapped(map, output));
}

}  // namespace

Operation* clone_into(const Operation& op, Block& block, ValueMap& map) {
  block.ops.push_back(std::make_unique<Operation>());
  Operation* copy = block.ops.back().get();
  copy->type = op.type;
  copy->parent = &block;
  copy->attributes = op.attributes;
  copy->inputs = op.inputs;
  for (Operand& operand : operands(*copy)) operand.value = mapped(map, operand.value);
  for (const auto& nested : op.blocks) clone_block(*nested, *copy->add_block(), map);
  for (const auto& output : op.outputs) {
    map[output.get()] = copy->add_output(output->name, output->type);
  }
  return copy;
}

Cloned clone(const Function& function) {
  Cloned copy{std::make_unique<Function>(), {}};
  copy.function->name = function.name;
  copy.function->opset = function.opset;
  copy.function->attributes = function.attributes;
  clone_block(function.body, copy.function->body, copy.values);
  return copy;
}

std::unique_ptr<Program> clone(const Program& program) {
  auto copy = std::make_unique<Program>();
  copy->version = program.version;
  copy->attributes = program.attributes;
  for (const auto& function : program.functions) {
    copy->functions.push_back(clone(*function).function);
  }
  return copy;
}

namespace {
void collect_uses(const Block& block, std::unordered_map<const Value*, std::vector<Use>>& uses) {
  for (const auto& op : block.ops) {
    for (size_t i = 0; i < op->inputs.size(); ++i) {
      for (size_t k = 0; k < op->inputs[i].operands.size(); ++k) {
        const Value* value = op->inputs[i].operands[k].value;
        if (value != nullptr) uses[value].push_back({op.get(), nullptr, i, k});
      }
    }
    for (const auto& nested : op->blocks) collect_uses(*nested, uses);
  }
  for (size_t k = 0; k < block.outputs.size(); ++k) {
    uses[block.outputs[k]].push_back({nullptr, const_cast<Block*>(&block), 0, k});
  }
}
}  // namespace

std::unordered_map<const Value*, std::vector<Use>> uses_in(const Block& block) {
  std::unordered_map<const Value*, std::vector<Use>> uses;
  collect_uses(block, uses);
  return uses;
}

}  // namespace mw::ir
