// program_to_proto(): the tree of blocks written out, names checked on the way.
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "package/program_proto.h"

namespace mw::package {
namespace {

class FunctionWriter {
 public:
  explicit FunctionWriter(const BlobOf& blob_of) : blob_of_(blob_of) {}

  void run(const ir::Function& function, pb::mil::Function* out) {
    const std::string opset(ir::core_ml_name_of(function.opset));
    out->set_opset(opset);
    auto* body = out->add_block_specializations();
    body->set_key(opset);
    std::unordered_set<std::string> names;
    for (const auto& argument : function.body.arguments) named(*argument, names, out->add_inputs());
    block(function.body, names, body->mutable_value());
    attributes(function.attributes, out->mutable_attributes());
  }

 private:
  using Names = std::unordered_set<std::string>;

  static void put(const std::string& text, std::string* out) {
    if (!is_utf8(text)) {
      fail(ErrorCode::kInvalidArgument, "expected a name in UTF-8, got other bytes");
    }
    *out = text;
  }

  void named(const ir::Value& value, Names& names, pb::mil::NamedValueType* out) {
    if (value.name.empty() || !names.insert(value.name).second) {
      fail(ErrorCode::kInvalidArgument, "value '{}': expected a name of its own in its block",
           value.name);
    }
    visible_[value.name].push_back(&value);
    put(value.name, out->mutable_name());
    type_to_proto(value.type, out->mutable_type());
  }

  // A reader finds the innermost value of that name, which must be the one that is meant.
  void reference(const ir::Value& value, std::string* out) {
    const auto found = visible_.find(value.name);
    if (found == visible_.end() || found->second.empty() || found->second.back() != &value) {
      fail(ErrorCode::kInvalidArgument,
           "'{}': expected a value that is visible here under its name; rename values "
           "that hide others",
           value.name);
    }
    *out = value.name;
  }

  void block(const ir::Block& from, Names& names, pb::mil::Block* out) {
    for (const auto& op : from.ops) {
      in_context([&] { return fmt::format("{} '{}'", op->type, op->name()); },
                 [&] { operation(*op, names, out->add_operations()); });
    }
    for (const ir::Value* output : from.outputs) reference(*output, out->add_outputs());
    attributes(from.attributes, out->mutable_attributes());
  }

  void operation(const ir::Operation& op, Names& names, pb::mil::Operation* out) {
    out->set_type(op.type);
    for (const ir::Input& input : op.inputs) {
      auto* entry = out->add_inputs();
      entry->set_key(input.name);
      entry->mutable_value();
      for (const ir::Operand& operand : input.operands) {
        auto* binding = entry->mutable_value()->add_arguments();
        if (operand.literal) {
          in_context(
              [&] { return input.name; },
              [&] { constant_to_proto(*operand.literal, blob_of_, binding->mutable_value()); });
        } else {
          reference(*operand.value, binding->mutable_name());
        }
      }
    }
    attributes(op.attributes, out->mutable_attributes());
    for (const auto& nested : op.blocks) nested_block(*nested, out->add_blocks());
    for (const auto& output : op.outputs) named(*output, names, out->add_outputs());
  }

  void nested_block(const ir::Block& from, pb::mil::Block* out) {
    Names names;
    for (const auto& argument : from.arguments) named(*argument, names, out->add_inputs());
    block(from, names, out);
    for (const std::string& name : names) visible_[name].pop_back();
  }

  void attributes(const ir::Attributes& from,
                  google::protobuf::RepeatedPtrField<pb::mil::ValueEntry>* out) {
    for (const auto& attribute : from) {
      auto* entry = out->Add();
      entry->set_key(attribute.first);
      in_context([&] { return attribute.first; },
                 [&] { constant_to_proto(*attribute.second, blob_of_, entry->mutable_value()); });
    }
  }

  const BlobOf& blob_of_;
  std::unordered_map<std::string, std::vector<const ir::Value*>> visible_;
};

}  // namespace

void program_to_proto(const ir::Program& program, const BlobOf& blob_of, pb::mil::Program* out) {
  out->set_version(1);
  for (const auto& function : program.functions) {
    in_context([&] { return fmt::format("function '{}'", function->name); },
               [&] {
                 auto* entry = out->add_functions();
                 entry->set_key(function->name);
                 FunctionWriter(blob_of).run(*function, entry->mutable_value());
               });
  }
  for (const auto& [name, value] : program.attributes) {
    auto* entry = out->add_attributes();
    entry->set_key(name);
    constant_to_proto(*value, nullptr, entry->mutable_value());
  }
}

}  // namespace mw::package
