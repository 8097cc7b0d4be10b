// parse(): programs, functions, blocks and statements; names are resolved as they are read.
#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/error.h"
#include "ir/text/value.h"

namespace mw::ir::text {
namespace {

// The names that are visible at one point of a function. Inner blocks shadow outer ones.
class Scopes {
 public:
  void enter() { starts_.push_back(shadowed_.size()); }
  void leave() {
    for (; shadowed_.size() > starts_.back(); shadowed_.pop_back()) {
      const auto& [name, previous] = shadowed_.back();
      if (previous.value == nullptr) {
        visible_.erase(name);
      } else {
        visible_.find(name)->second = previous;
      }
    }
    starts_.pop_back();
  }
  // False when the innermost block has the name already. The value must outlive its block's scope.
  bool define(Value* value) {
    Binding& binding = visible_[value->name];
    if (binding.value != nullptr && binding.depth == starts_.size()) return false;
    shadowed_.emplace_back(value->name, binding);
    binding = {value, starts_.size()};
    return true;
  }
  [[nodiscard]] Value* find(std::string_view name) const {
    const auto found = visible_.find(name);
    return found == visible_.end() ? nullptr : found->second.value;
  }
  [[nodiscard]] size_t depth() const { return starts_.size(); }

 private:
  struct Binding {
    Value* value = nullptr;
    size_t depth = 0;
  };
  std::unordered_map<std::string_view, Binding> visible_;
  std::vector<std::pair<std::string_view, Binding>> shadowed_;
  std::vector<size_t> starts_;
};

class Parser {
 public:
  Parser(std::string_view source, const ParseOptions& options)
      : in_(source, options.file), values_(in_, options.blobs) {}

  std::unique_ptr<Program> program() {
    auto program = std::make_unique<Program>();
    if (!in_.accept_word("program")) in_.fail_expected("'program'");
    in_.expect('(', "after", "program");
    program->version = version();
    in_.expect(')', "after the version");
    if (in_.peek() == '[') program->attributes = attributes();
    in_.expect('{', "before the functions");
    std::unordered_set<std::string> names;
    while (!in_.accept('}')) {
      const size_t start = in_.offset();
      Function& function = this->function(*program);
      if (!names.insert(function.name).second) {
        in_.fail_at(start, fmt::format("function '{}' is defined twice", function.name));
      }
    }
    if (!in_.at_end()) in_.fail_expected("the end of the file after the program");
    return program;
  }

 private:
  struct Result {
    Type type;
    std::string name;
    size_t offset = 0;
  };

  std::string version() {
    const size_t start = in_.offset();
    const std::string_view text = in_.number();
    const bool is_known =
        text.starts_with("1.") && text.size() > 2 && text.size() <= 5 &&
        std::all_of(text.begin() + 2, text.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!is_known) {
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("expected program(1.0) or program(1.3), got '{}'", text),
                  in_.where(start));
    }
    return std::string(text);
  }

  Opset opset() {
    const size_t start = in_.offset();
    const std::string name = in_.name("an opset such as ios17");
    const auto found = opset_named(name);
    if (!found) {
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("opset '{}': expected one of {} to {}", name, name_of(Opset::kIos15),
                              name_of(Opset::kIos26)),
                  in_.where(start));
    }
    return *found;
  }

  Function& function(Program& program) {
    if (!in_.accept_word("func")) in_.fail_expected("'func' or '}'");
    std::string name = in_.name("the name of a function");
    in_.expect('<', "before the opset of function", name);
    const Opset opset = this->opset();
    in_.expect('>', "after the opset of function", name);
    Function& function = *program.add_function(std::move(name), opset);
    in_.place = {.function = function.name};
    scopes_.enter();
    parameters(function.body);
    if (in_.peek() == '[') function.attributes = attributes();
    if (in_.peek() == '[') function.body.attributes = attributes();
    statements(function.body);
    scopes_.leave();
    in_.accept(';');
    in_.place = {};
    return function;
  }

  // "(" type name, .. ")": the inputs of a function or the arguments of a nested block.
  void parameters(Block& block) {
    in_.expect('(', "before the parameters");
    if (in_.accept(')')) return;
    do {
      Type type = parse_type(in_);
      const size_t offset = in_.offset();
      define(block.add_argument(in_.name("the name of a parameter"), std::move(type)), offset);
    } while (in_.accept(','));
    in_.expect(')', "after the parameters");
  }

  // "{" statements "}" "->" "(" outputs ")"
  void statements(Block& block) {
    in_.expect('{', "before the statements");
    while (!in_.accept('}')) {
      if (in_.at_end()) in_.fail_expected("a statement or '}'");
      statement(block);
    }
    in_.expect("->", "before the outputs of a block");
    in_.expect('(', "before the outputs of a block");
    if (in_.accept(')')) return;
    do {
      block.outputs.push_back(lookup());
    } while (in_.accept(','));
    in_.expect(')', "after the outputs of a block");
  }

  void statement(Block& block) {
    std::vector<Result> results;
    if (!at_call()) {
      do {
        Result& result = results.emplace_back();
        result.type = parse_type(in_);
        result.offset = in_.offset();
        result.name = in_.name("the name of a result");
      } while (in_.accept(','));
      in_.expect('=', "after result", results.back().name);
    }
    auto op = std::make_unique<Operation>();
    op->parent = &block;
    op->type = in_.name("an operation");
    const std::string_view label = results.empty() ? std::string_view() : results[0].name;
    arguments(*op, label);
    if (in_.peek() == '[') op->attributes = attributes(op->type, label);
    if (!nested_blocks(*op)) in_.expect(';', "after", op->type);
    for (Result& result : results) {
      define(op->add_output(std::move(result.name), std::move(result.type)), result.offset);
    }
    block.ops.push_back(std::move(op));
  }

  // Whether an operation without results begins here: a name and "(".
  bool at_call() {
    if (in_.peek() == '"') return true;
    const size_t start = in_.offset();
    in_.accept_word(in_.peek_word());
    const bool is_call = in_.peek() == '(';
    in_.rewind(start);
    return is_call;
  }

  void arguments(Operation& op, std::string_view label) {
    in_.expect('(', "after", op.type);
    if (in_.accept(')')) return;
    const size_t start = in_.offset();
    do {
      Input& input = op.inputs.emplace_back();
      input.name = in_.name("the name of an argument");
      in_.expect('=', "after argument", input.name);
      enter_parameter(op.type, label, input.name);
      operands(input);
      leave_parameter();
    } while (in_.accept(','));
    in_.expect(')', "after the arguments of", op.type);
    std::vector<std::string_view> names;
    names.reserve(op.inputs.size());
    for (const Input& input : op.inputs) names.push_back(input.name);
    reject_duplicates(start, "argument", std::move(names));
  }

  // Errors within an argument or attribute name it and its operation.
  void enter_parameter(std::string_view op, std::string_view label, std::string_view name) {
    in_.place = {in_.place.function, op, label, name};
  }
  void leave_parameter() { in_.place = {.function = in_.place.function}; }

  void operands(Input& input) {
    if (!in_.accept('(')) {
      input.operands.push_back(operand());
      return;
    }
    if (in_.accept(')')) return;
    do {
      input.operands.push_back(operand());
    } while (in_.accept(','));
    in_.expect(')', "after a list of values");
  }

  Operand operand() {
    const size_t start = in_.offset();
    if (in_.peek() != '"') {
      in_.accept_word(in_.peek_word());
      const bool is_typed = in_.offset() > start && (in_.peek() == '(' || in_.peek() == '<');
      in_.rewind(start);
      if (is_typed) return {nullptr, values_.typed()};
    }
    return {lookup(), nullptr};
  }

  Value* lookup() {
    const size_t start = in_.offset();
    const std::string name = in_.name("the name of a value, or a typed value such as int32(1)");
    Value* value = scopes_.find(name);
    if (value == nullptr) {
      in_.fail_at(start, fmt::format("'{}' is not defined before its use", name));
    }
    return value;
  }

  void define(Value* value, size_t offset) {
    if (!scopes_.define(value)) {
      in_.fail_at(offset, fmt::format("'{}' is defined twice in one block", value->name));
    }
  }

  // "[" name "=" typed, .. "]"
  Attributes attributes(std::string_view op = {}, std::string_view label = {}) {
    const size_t start = in_.offset();
    Attributes attributes;
    in_.expect('[', "before the attributes");
    if (in_.accept(']')) return attributes;
    do {
      std::string name = in_.name("the name of an attribute");
      in_.expect('=', "after attribute", name);
      enter_parameter(op, label, name);
      ConstantPtr value = values_.typed();
      leave_parameter();
      attributes.emplace_back(std::move(name), std::move(value));
    } while (in_.accept(','));
    in_.expect(']', "after the attributes");
    std::vector<std::string_view> names;
    for (const auto& [name, value] : attributes) names.push_back(name);
    reject_duplicates(start, "attribute", std::move(names));
    return attributes;
  }

  void reject_duplicates(size_t offset, std::string_view what,
                         std::vector<std::string_view> names) {
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    if (twice != names.end()) {
      in_.fail_at(offset, fmt::format("{} '{}' is given twice", what, *twice));
    }
  }

  // Blocks up to the end of the statement; false when there are none and it still lacks its ";".
  bool nested_blocks(Operation& op) {
    bool terminated = false;
    while (at_block(terminated)) {
      nested_block(op);
      terminated = in_.accept(';');
    }
    return terminated || (!op.blocks.empty() && in_.peek() == '}');
  }

  // Behind a ";" another block may follow as well as another statement.
  bool at_block(bool terminated) {
    if (in_.peek() == '{' || in_.peek() == '(' || in_.peek() == '[') return true;
    const size_t start = in_.offset();
    const bool is_named =
        accept_name() && (in_.peek() == '{' || in_.peek() == '[' ||
                          (in_.peek() == '(' && (!terminated || at_parameters())));
    in_.rewind(start);
    return is_named;
  }

  bool accept_name() {
    const size_t start = in_.offset();
    if (in_.peek() == '"') {
      in_.string("a name");
    } else {
      in_.accept_word(in_.peek_word());
    }
    return in_.offset() > start;
  }

  // Tells `(type name, ..)` from `(name = value, ..)`, and `() {` from `();` and `()[`. Moves.
  bool at_parameters() {
    in_.accept('(');
    if (in_.accept(')')) return in_.peek() == '{';
    return in_.peek() != '"' && accept_name() && in_.peek() != '=';
  }

  void nested_block(Operation& op) {
    if (scopes_.depth() > kMaxDepth) {
      in_.fail(fmt::format("expected blocks nested at most {} deep, got more", kMaxDepth));
    }
    Block& block = *op.add_block();
    if (in_.peek() == '"' || !in_.peek_word().empty()) block.name = in_.name("the name of a block");
    scopes_.enter();
    if (in_.peek() == '(') parameters(block);
    if (in_.peek() == '[') block.attributes = attributes();
    statements(block);
    scopes_.leave();
  }

  Scanner in_;
  ValueParser values_;
  Scopes scopes_;
};

}  // namespace

std::unique_ptr<Program> parse(std::string_view source, const ParseOptions& options) {
  return Parser(source, options).program();
}

}  // namespace mw::ir::text
