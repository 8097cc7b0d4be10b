// program_from_proto(): blocks in order, every name looked up in the blocks around it.
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/error.h"
#include "package/program_proto.h"

namespace mw::package {
namespace {

// The values visible at a point. An inner block may reuse a name of an outer one; leaving it
// restores the outer meaning.
class Scope {
 public:
  [[nodiscard]] ir::Value* find(const std::string& name) const {
    const auto found = values_.find(name);
    return found == values_.end() ? nullptr : found->second;
  }

  void define(ir::Value* value) {
    if (value->name.empty()) {
      fail(ErrorCode::kInvalidModel, "expected a name for every value, got an empty one");
    }
    auto [slot, fresh] = values_.try_emplace(value->name, nullptr);
    if (!fresh && slot->second != nullptr && slot->second->block == value->block) {
      fail(ErrorCode::kInvalidModel, "'{}' is defined twice in one block", value->name);
    }
    undo_.emplace_back(value->name, std::exchange(slot->second, value));
  }

  [[nodiscard]] size_t mark() const { return undo_.size(); }
  void leave(size_t mark) {
    while (undo_.size() > mark) {
      values_[undo_.back().first] = undo_.back().second;
      undo_.pop_back();
    }
  }

 private:
  std::unordered_map<std::string, ir::Value*> values_;
  std::vector<std::pair<std::string, ir::Value*>> undo_;
};

ir::Attributes attributes_from_proto(
    const google::protobuf::RepeatedPtrField<pb::mil::ValueEntry>& entries,
    ir::BlobResolver* blobs) {
  ir::Attributes attributes;
  std::unordered_set<std::string_view> seen;
  for (const auto& entry : entries) {
    in_context([&] { return entry.key(); },
               [&] {
                 if (!seen.insert(entry.key()).second) {
                   fail(ErrorCode::kInvalidModel, "the attribute is given twice");
                 }
                 attributes.emplace_back(entry.key(), constant_from_proto(entry.value(), blobs));
               });
  }
  return attributes;
}

class FunctionReader {
 public:
  FunctionReader(ir::Function& function, ir::BlobResolver* blobs)
      : function_(function), blobs_(blobs) {}

  void run(const pb::mil::Function& from, const pb::mil::Block& body) {
    for (const auto& input : from.inputs()) argument(input, function_.body);
    // The inputs of a function stand at the function; some writers repeat them at its block.
    for (const auto& input : body.inputs()) {
      if (scope_.find(input.name()) == nullptr) argument(input, function_.body);
    }
    block(body, function_.body);
  }

 private:
  void argument(const pb::mil::NamedValueType& from, ir::Block& block) {
    in_context(
        [&] { return fmt::format("input '{}'", from.name()); },
        [&] { scope_.define(block.add_argument(from.name(), type_from_proto(from.type()))); });
  }

  void block(const pb::mil::Block& from, ir::Block& to) {
    to.attributes = attributes_from_proto(from.attributes(), blobs_);
    for (const auto& op : from.operations()) operation(op, to);
    for (const std::string& name : from.outputs()) {
      ir::Value* value = scope_.find(name);
      if (value == nullptr) {
        fail(ErrorCode::kInvalidModel, "block output '{}': nothing defines it", name);
      }
      to.outputs.push_back(value);
    }
  }

  void operation(const pb::mil::Operation& from, ir::Block& block) {
    block.ops.push_back(std::make_unique<ir::Operation>());
    ir::Operation& op = *block.ops.back();
    op.type = from.type();
    op.parent = &block;
    in_context([&] { return fmt::format("{} '{}'", from.type(), name_in(from)); },
               [&] { fill(from, op); });
  }

  static std::string name_in(const pb::mil::Operation& from) {
    for (const auto& entry : from.attributes()) {
      const auto& strings = entry.value().immediatevalue().tensor().strings();
      if (entry.key() == "name" && strings.values_size() > 0) return strings.values(0);
    }
    return from.outputs_size() > 0 ? from.outputs(0).name() : "";
  }

  void fill(const pb::mil::Operation& from, ir::Operation& op) {
    if (op.type.empty()) {
      fail(ErrorCode::kInvalidModel, "expected the type of an operation, got none");
    }
    std::unordered_set<std::string_view> seen;
    for (const auto& entry : from.inputs()) {
      in_context([&] { return entry.key(); },
                 [&] {
                   if (!seen.insert(entry.key()).second) {
                     fail(ErrorCode::kInvalidModel, "the input is given twice");
                   }
                   op.inputs.push_back({entry.key(), operands(entry.value())});
                 });
    }
    op.attributes = attributes_from_proto(from.attributes(), blobs_);
    for (const auto& nested : from.blocks()) {
      ir::Block* to = op.add_block();
      const size_t mark = scope_.mark();
      for (const auto& input : nested.inputs()) argument(input, *to);
      block(nested, *to);
      scope_.leave(mark);
    }
    for (const auto& output : from.outputs()) {
      in_context(
          [&] { return fmt::format("result '{}'", output.name()); },
          [&] { scope_.define(op.add_output(output.name(), type_from_proto(output.type()))); });
    }
  }

  std::vector<ir::Operand> operands(const pb::mil::Argument& argument) {
    std::vector<ir::Operand> operands;
    operands.reserve(static_cast<size_t>(argument.arguments_size()));
    for (const auto& binding : argument.arguments()) {
      ir::Operand& operand = operands.emplace_back();
      if (binding.binding_case() == pb::mil::Argument::Binding::kValue) {
        operand.literal = constant_from_proto(binding.value(), blobs_);
        continue;
      }
      operand.value = scope_.find(binding.name());
      if (operand.value == nullptr) {
        fail(ErrorCode::kInvalidModel, "'{}' is not defined before its use", binding.name());
      }
    }
    return operands;
  }

  ir::Function& function_;
  ir::BlobResolver* blobs_;
  Scope scope_;
};

ir::Opset opset_of(const std::string& name) {
  if (const std::optional<ir::Opset> opset = ir::opset_core_ml_named(name)) return *opset;
  fail(ErrorCode::kUnsupported, "expected an opset of CoreML5 to CoreML9, got '{}'", name);
}

const pb::mil::Block& body_of(const pb::mil::Function& function) {
  for (const auto& entry : function.block_specializations()) {
    if (entry.key() == function.opset()) return entry.value();
  }
  fail(ErrorCode::kInvalidModel, "expected a block for opset {}, got none", function.opset());
}

}  // namespace

std::unique_ptr<ir::Program> program_from_proto(const pb::mil::Program& from,
                                                ir::BlobResolver* blobs) {
  if (from.version() != 1) {
    fail(ErrorCode::kUnsupported, "an ML Program: expected version 1 of the schema, got {}",
         from.version());
  }
  if (from.functions().empty()) {
    fail(ErrorCode::kInvalidModel, "an ML Program: expected at least one function, got none");
  }
  auto program = std::make_unique<ir::Program>();
  program->attributes = attributes_from_proto(from.attributes(), blobs);
  std::unordered_set<std::string_view> names;
  ir::Opset newest = ir::Opset::kIos15;
  for (const auto& entry : from.functions()) {
    in_context([&] { return fmt::format("function '{}'", entry.key()); },
               [&] {
                 if (entry.key().empty()) {
                   fail(ErrorCode::kInvalidModel, "expected a name, got none");
                 }
                 if (!names.insert(entry.key()).second) {
                   fail(ErrorCode::kInvalidModel, "it is defined twice");
                 }
                 ir::Function* function =
                     program->add_function(entry.key(), opset_of(entry.value().opset()));
                 newest = std::max(newest, function->opset);
                 function->attributes = attributes_from_proto(entry.value().attributes(), blobs);
                 FunctionReader(*function, blobs).run(entry.value(), body_of(entry.value()));
               });
  }
  program->version = newest >= ir::Opset::kIos18 ? "1.3" : "1.0";
  return program;
}

}  // namespace mw::package
