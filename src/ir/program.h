// Program, Function, Block, Operation, Value: a MIL program as a tree of blocks in SSA form.
//
//   for (auto& function : program.functions)
//     for (auto& op : function->body.ops) use(op->type, op->input("x"));
//
// Ownership: a program owns its functions, a function its body, a block its arguments and
// operations, an operation its results and nested blocks. All other links are plain pointers into
// the same function and die with it. Constants are shared and immutable.
#pragma once

#include <list>
#include <memory>
#include <ranges>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ir/constant.h"
#include "ir/type.h"

namespace mw::ir {

struct Block;
struct Function;
struct Operation;

// The two operations that the program structure itself is made of.
inline constexpr std::string_view kConstOp = "const";  // attributes {name, val}
inline constexpr std::string_view kCastOp = "cast";    // inputs {x, dtype}

// One SSA value: a result of an operation, or an argument of a block.
struct Value {
  std::string name;  // unique within its block and those around it
  Type type;
  Operation* producer = nullptr;  // null: an argument of `block`
  Block* block = nullptr;         // where it is defined
  size_t index = 0;               // among the results or arguments
};

// What one input position refers to: exactly one of the two is set.
struct Operand {
  Value* value = nullptr;
  ConstantPtr literal;
};

// A named parameter with its operands: one, or any number when variadic (`values = (a, b)`).
struct Input {
  std::string name;
  std::vector<Operand> operands;
};

using Attributes = std::vector<std::pair<std::string, ConstantPtr>>;
// The attribute, or null.
ConstantPtr find_attribute(const Attributes& attributes, std::string_view name);
void set_attribute(Attributes& attributes, std::string_view name, ConstantPtr value);

struct Block {
  std::string name;  // optional, as written in the text
  std::vector<std::unique_ptr<Value>> arguments;
  std::list<std::unique_ptr<Operation>> ops;
  std::vector<Value*> outputs;
  Attributes attributes;
  Operation* parent = nullptr;  // null: the body of `function`
  Function* function = nullptr;

  Value* add_argument(std::string name, Type type);
};

struct Operation {
  std::string type;  // MIL's spelling, e.g. "layer_norm"
  std::vector<Input> inputs;
  Attributes attributes;
  std::vector<std::unique_ptr<Value>> outputs;
  std::vector<std::unique_ptr<Block>> blocks;
  Block* parent = nullptr;

  // The `name` attribute, else the first result's name, else "".
  [[nodiscard]] std::string name() const;
  [[nodiscard]] const Input* find_input(std::string_view name) const;
  // The single operand of input `name`: its value, or null when absent or a literal.
  [[nodiscard]] Value* input(std::string_view name) const;
  void set_input(std::string_view name, std::vector<Operand> operands);
  Value* add_output(std::string name, Type type);
  Block* add_block();
  [[nodiscard]] bool is_const() const { return type == kConstOp; }
};

// Every operand of an operation, in the order of its inputs.
inline auto operands(const Operation& op) {
  return op.inputs | std::views::transform(&Input::operands) | std::views::join;
}
inline auto operands(Operation& op) {
  return op.inputs | std::views::transform(&Input::operands) | std::views::join;
}

// The constant an operand stands for: its literal, or the `val` of the const that produces it; else
// null.
ConstantPtr constant_of(const Operand& operand);
ConstantPtr constant_of(const Value* value);

struct Function {
  std::string name;
  Opset opset = Opset::kIos15;
  Block body;  // its arguments are the function's inputs; states have state types
  Attributes attributes;

  Function() { body.function = this; }
  Function(const Function&) = delete;
  Function& operator=(const Function&) = delete;
  [[nodiscard]] Value* find_argument(std::string_view name) const;
};

struct Program {
  std::string version = "1.0";  // the dialect of the text it came from
  std::vector<std::unique_ptr<Function>> functions;
  Attributes attributes;

  Function* add_function(std::string name, Opset opset);
  [[nodiscard]] Function* find_function(std::string_view name) const;
};

using ValueMap = std::unordered_map<const Value*, Value*>;

// A deep copy of `op` appended to `block`, operands replaced through `map` (values not in it stay).
// Results and nested values are entered into `map`.
Operation* clone_into(const Operation& op, Block& block, ValueMap& map);
// A copy of a function, and where each value of the function is in it.
struct Cloned {
  std::unique_ptr<Function> function;
  ValueMap values;
};
Cloned clone(const Function& function);
std::unique_ptr<Program> clone(const Program& program);

// Calls visit(op) for each operation of `block`, nested blocks after their owner, in order.
template <class Visit>
void for_each_op(const Block& block, const Visit& visit) {
  for (const auto& op : block.ops) {
    visit(*op);
    for (const auto& nested : op->blocks) for_each_op(*nested, visit);
  }
}

// All uses of each value within a function, block outputs included (op null there).
struct Use {
  Operation* op = nullptr;
  Block* block = nullptr;  // set for a block output
  size_t input = 0, operand = 0;
};
std::unordered_map<const Value*, std::vector<Use>> uses_in(const Block& block);

}  // namespace mw::ir
