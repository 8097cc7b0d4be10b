// print(): a program in the layout of Apple's compiler.
#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "ir/text/literal.h"
#include "ir/text/text.h"

namespace mw::ir::text {
namespace {

constexpr size_t kStatementIndent = 12;
constexpr size_t kBlockIndent = 4;  // of nested blocks, on top
constexpr int kFirstBareMinor = 3;  // program(1.3) writes rank-0 types bare

bool writes_bare_scalars(std::string_view version) {
  int minor = 0;
  const bool is_known = version.starts_with("1.");
  const std::string_view digits = version.substr(is_known ? 2 : 0);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), minor);
  if (!is_known || error != std::errc() || end != digits.data() + digits.size()) {
    fail(ErrorCode::kInvalidArgument, "the dialect to print: expected 1.0 or 1.3, got '{}'",
         version);
  }
  return minor >= kFirstBareMinor;
}

class Printer {
 public:
  Printer(const PrintOptions& options, std::string_view version)
      : options_(options),
        version_(options.version.empty() ? version : options.version),
        bare_scalars_(writes_bare_scalars(version_)) {}

  std::string program(const Program& program) {
    out_ += fmt::format("program({})\n", version_);
    if (!program.attributes.empty()) {
      attributes(program.attributes);
      out_ += '\n';
    }
    out_ += "{\n";
    for (const auto& function : program.functions) this->function(*function);
    out_ += '}';
    return std::move(out_);
  }

  std::string only(const Function& function) {
    this->function(function);
    return std::move(out_);
  }

  std::string only(const Operation& op) {
    operation(op, 0);
    return std::move(out_);
  }

 private:
  void function(const Function& function) {
    out_ += "    func ";
    name(function.name);
    out_ += fmt::format("<{}>", name_of(function.opset));
    parameters(function.body);
    const bool has_block_attributes = !function.body.attributes.empty();
    if (has_block_attributes || !function.attributes.empty()) {
      out_ += ' ';
      attributes(function.attributes);
    }
    if (has_block_attributes) {
      out_ += ' ';
      attributes(function.body.attributes);
    }
    out_ += ' ';
    statements(function.body, kStatementIndent, kStatementIndent - 4);
    out_ += ";\n";
  }

  void statements(const Block& block, size_t indent, size_t end_indent) {
    out_ += "{\n";
    for (const auto& op : block.ops) {
      out_.append(indent, ' ');
      operation(*op, indent);
      out_ += '\n';
    }
    out_.append(end_indent, ' ');
    out_ += "} -> (";
    separated(block.outputs, [&](const Value* output) { name(output->name); });
    out_ += ')';
  }

  void parameters(const Block& block) {
    out_ += '(';
    separated(block.arguments, [&](const auto& argument) { typed_name(*argument); });
    out_ += ')';
  }

  void operation(const Operation& op, size_t indent) {
    separated(op.outputs, [&](const auto& output) { typed_name(*output); });
    if (!op.outputs.empty()) out_ += " = ";
    name(op.type);
    out_ += '(';
    separated(
        by_name(op.inputs, [](const Input& input) -> const std::string& { return input.name; }),
        [&](const Input* input) { argument(*input); });
    out_ += ')';
    if (!op.attributes.empty() || needs_empty_attributes(op)) attributes(op.attributes);
    for (const auto& block : op.blocks) nested_block(*block, indent);
    out_ += ';';
  }

  // Without them the attributes of the first block would be read as those of the operation, and
  // `op() {` behind a statement with blocks as one more block of that.
  static bool needs_empty_attributes(const Operation& op) {
    if (op.blocks.empty()) return false;
    const Block& first = *op.blocks[0];
    const bool begins_with_attributes =
        first.name.empty() && first.arguments.empty() && !first.attributes.empty();
    return begins_with_attributes || (op.outputs.empty() && op.inputs.empty());
  }

  void nested_block(const Block& block, size_t indent) {
    out_ += ' ';
    if (!block.name.empty()) name(block.name);
    if (!block.arguments.empty()) parameters(block);
    if (!block.name.empty() || !block.arguments.empty()) out_ += ' ';
    if (!block.attributes.empty()) {
      attributes(block.attributes);
      out_ += ' ';
    }
    statements(block, indent + kBlockIndent, indent);
  }

  void argument(const Input& input) {
    name(input.name);
    out_ += " = ";
    if (input.operands.size() == 1) return operand(input.operands[0]);
    out_ += '(';
    separated(input.operands, [&](const Operand& one) { operand(one); });
    out_ += ')';
  }

  void operand(const Operand& operand) {
    if (operand.literal) {
      typed(*operand.literal);
    } else {
      name(operand.value->name);
    }
  }

  void attributes(const Attributes& attributes) {
    out_ += '[';
    separated(by_name(attributes,
                      [](const auto& attribute) -> const std::string& { return attribute.first; }),
              [&](const auto* attribute) {
                name(attribute->first);
                out_ += " = ";
                typed(*attribute->second);
              });
    out_ += ']';
  }

  void typed_name(const Value& value) {
    type(value.type);
    out_ += ' ';
    name(value.name);
  }

  void typed(const Constant& constant) {
    type(constant.type());
    out_ += '(';
    value(constant);
    out_ += ')';
  }

  void type(const Type& type) {
    switch (type.kind()) {
      case Type::Kind::kTensor:
        if (bare_scalars_ && type.has_rank() && type.rank() == 0) {
          out_ += mw::name_of(type.dtype());
        } else {
          out_ += type.str();
        }
        return;
      case Type::Kind::kState:
        out_ += "state<";
        break;
      case Type::Kind::kList:
        out_ += "list<";
        break;
      case Type::Kind::kDict:
        out_ += "dict<";
        break;
      case Type::Kind::kTuple:
        out_ += "tuple<";
        break;
    }
    separated(type.elements(), [&](const Type& element) { this->type(element); });
    if (type.is_list()) {
      out_ += type.length() < 0 ? std::string(", ?") : fmt::format(", {}", type.length());
    }
    out_ += '>';
  }

  void value(const Constant& constant) {
    switch (constant.type().kind()) {
      case Type::Kind::kTensor:
        return tensor(constant);
      case Type::Kind::kList:
      case Type::Kind::kTuple: {
        const bool is_list = constant.type().is_list();
        out_ += is_list ? '[' : '(';
        separated(constant.children(), [&](const ConstantPtr& child) { value(*child); });
        out_ += is_list ? ']' : ')';
        return;
      }
      case Type::Kind::kDict:
        return dict(constant);
      case Type::Kind::kState:
        MW_CHECK(!constant.type().is_state());
    }
  }

  void dict(const Constant& constant) {
    const auto& children = constant.children();
    out_ += '{';
    for (size_t i = 0; i + 1 < children.size(); i += 2) {
      out_ += i > 0 ? ", {" : "{";
      value(*children[i]);
      out_ += ", ";
      value(*children[i + 1]);
      out_ += '}';
    }
    out_ += '}';
  }

  void tensor(const Constant& constant) {
    if (const auto ref = options_.blob_ref ? options_.blob_ref(constant) : constant.blob_ref()) {
      const std::string_view path_type = bare_scalars_ ? "string" : "tensor<string, []>";
      const std::string_view offset_type = bare_scalars_ ? "uint64" : "tensor<uint64, []>";
      out_ += fmt::format("BLOBFILE(path = {}(", path_type);
      append_quoted(out_, ref->path);
      out_ += fmt::format("), offset = {}({}))", offset_type, ref->offset);
      return;
    }
    const Tensor& values = constant.value();
    int64_t flat = 0;
    if (values.count() == 0) {
      out_ += "[]";
    } else {
      elements(values, 0, flat);
    }
  }

  // The elements from `flat` on that share all indices before `axis`.
  void elements(const Tensor& values, int64_t axis, int64_t& flat) {
    if (axis == values.rank()) return append_element(out_, values, flat++);
    out_ += '[';
    for (int64_t i = 0; i < values.dim(axis); ++i) {
      if (i > 0) out_ += ", ";
      elements(values, axis + 1, flat);
    }
    out_ += ']';
  }

  void name(std::string_view name) {
    if (!name.empty() && std::all_of(name.begin(), name.end(), is_word_char)) {
      out_ += name;
    } else {
      append_quoted(out_, name);
    }
  }

  template <class Items, class Write>
  void separated(const Items& items, const Write& write) {
    bool first = true;
    for (const auto& item : items) {
      if (!first) out_ += ", ";
      first = false;
      write(item);
    }
  }

  template <class Item, class Name>
  [[nodiscard]] std::vector<const Item*> by_name(const std::vector<Item>& items,
                                                 const Name& name) const {
    std::vector<const Item*> sorted;
    sorted.reserve(items.size());
    for (const Item& item : items) sorted.push_back(&item);
    if (options_.sort_arguments) {
      std::stable_sort(sorted.begin(), sorted.end(),
                       [&](const Item* a, const Item* b) { return name(*a) < name(*b); });
    }
    return sorted;
  }

  const PrintOptions& options_;
  std::string version_;
  bool bare_scalars_;
  std::string out_;
};

}  // namespace

std::string print(const Program& program, const PrintOptions& options) {
  return Printer(options, program.version).program(program);
}
std::string print(const Function& function, const PrintOptions& options) {
  return Printer(options, "1.3").only(function);
}
std::string print(const Operation& op, const PrintOptions& options) {
  return Printer(options, "1.3").only(op);
}

}  // namespace mw::ir::text
