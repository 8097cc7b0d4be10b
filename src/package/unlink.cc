// unlink(): the ops of each part, cut out of the linked functions.
#include <algorithm>
#include <set>
#include <unordered_set>

#include "base/error.h"
#include "ir/rename.h"
#include "package/link.h"

namespace mw::package {
namespace {

using ir::ConstantPtr;
using ir::Operation;
using ir::Value;

// The ops of a linked function by segment.
std::vector<std::vector<const Operation*>> cut(const ir::Function& function,
                                               const LinkedFunction& linked, const Parts& parts) {
  std::vector<std::vector<const Operation*>> pieces(linked.segments.size());
  size_t current = 0;
  for (const auto& op : function.body.ops) {
    // What was added since stands beside ops of its part.
    const std::string name = op->outputs.empty() ? op->name() : op->outputs[0]->name;
    for (size_t i = current + 1; i < pieces.size(); ++i) {
      if (parts.own_name(linked.segments[i].part, name)) current = i;
    }
    pieces[current].push_back(op.get());
  }
  return pieces;
}

// A function of a part, made anew of its ops in a linked function.
class Piece {
 public:
  Piece(const Parts& parts, const Segment& segment, const ir::Function& linked)
      : parts_(parts),
        segment_(segment),
        linked_(linked),
        original_(*parts.models[segment.part]->program->find_function(segment.function)),
        made_(std::make_unique<ir::Function>()) {
    ir::for_each_op(original_.body, [&](const Operation& op) {
      for (const auto& [name, value] : op.attributes) known_.insert(value.get());
      for (const ir::Operand& operand : ir::operands(op)) known_.insert(operand.literal.get());
      if (!op.outputs.empty()) ops_.emplace(op.outputs[0]->name, &op);
    });
    made_->name = original_.name;
    made_->opset = original_.opset;
    made_->attributes = original_.attributes;
    made_->body.name = original_.body.name;
    made_->body.attributes = original_.body.attributes;
  }

  void make(const std::vector<const Operation*>& ops) {
    for (const auto& argument : original_.body.arguments) {
      Value* made = made_->body.add_argument(argument->name, argument->type);
      map_[stood_for(*argument)] = made;
      values_[argument->name] = made;
    }
    for (const Operation* op : ops) copy(*op);
    for (const Value* output : original_.body.outputs) {
      const auto found = values_.find(output->name);
      if (found == values_.end()) fail_renamed("output", output->name);
      made_->body.outputs.push_back(found->second);
    }
    changed_ = changed_ || made_->body.ops.size() != original_.body.ops.size();
  }

  // Whether any weight is another one than the part was read with.
  [[nodiscard]] bool is_changed() const { return changed_; }
  std::unique_ptr<ir::Function> take() { return std::move(made_); }

 private:
  [[noreturn]] void fail_renamed(const std::string& what, const std::string& name) const {
    fail(ErrorCode::kInvalidArgument,
         "part {}: function '{}': {} '{}': expected it under this name, since the parts keep "
         "theirs, "
         "got none; write one .mlpackage, or leave the names",
         parts_.title(segment_.part), segment_.function, what, name);
  }

  // The value of the whole that an input of the part is.
  [[nodiscard]] const Value* stood_for(const Value& argument) const {
    for (const auto& [input, value] : segment_.taken) {
      if (input == argument.name) return result_named(value);
    }
    const Value* found = linked_.find_argument(argument.name);
    if (found == nullptr) fail_renamed("input", argument.name);
    return found;
  }
  [[nodiscard]] const Value* result_named(const std::string& name) const {
    for (const auto& op : linked_.body.ops) {
      for (const auto& output : op->outputs) {
        if (output->name == name) return output.get();
      }
    }
    fail_renamed("a result for an input", name);
  }

  void copy(const Operation& op) {
    for (const ir::Operand& operand : ir::operands(op)) {
      MW_CHECK(operand.value == nullptr || map_.contains(operand.value));
    }
    Operation* made = ir::clone_into(op, made_->body, map_);
    ir::rename(*made, [&](const std::string& name) {
      return parts_.own_name(segment_.part, name).value_or(name);
    });
    restore(*made);
    for (const auto& output : made->outputs) values_[output->name] = output.get();
  }

  // Constants, types and names as they were, where they are what they were.
  void restore(Operation& op) {
    const auto found = op.outputs.empty() ? ops_.end() : ops_.find(op.outputs[0]->name);
    const Operation* original = found == ops_.end() ? nullptr : found->second;
    for (auto& [name, value] : op.attributes) {
      if (name != "name") value = own(value);
    }
    for (ir::Operand& operand : ir::operands(op)) operand.literal = own(operand.literal);
    if (original != nullptr && original->outputs.size() == op.outputs.size()) {
      for (size_t i = 0; i < op.outputs.size(); ++i) {
        const ir::Type& declared = original->outputs[i]->type;
        if (compatible(declared, op.outputs[i]->type)) op.outputs[i]->type = declared;
      }
    }
    for (const auto& block : op.blocks) {
      for (const auto& inner : block->ops) restore(*inner);
    }
  }

  ConstantPtr own(const ConstantPtr& constant) {
    if (constant == nullptr || known_.contains(constant.get())) return constant;
    const auto original = parts_.originals.find(constant);
    if (original != parts_.originals.end()) return original->second;
    changed_ = true;
    if (!constant->blob_ref()) return constant;
    const auto ref = parts_.refs.find({segment_.part, *constant->blob_ref()});
    return ref == parts_.refs.end() ? ir::Constant::tensor(constant->value())
                                    : ir::Constant::blob(constant->value(), ref->second);
  }

  const Parts& parts_;
  const Segment& segment_;
  const ir::Function& linked_;
  const ir::Function& original_;
  std::unique_ptr<ir::Function> made_;
  std::unordered_set<const ir::Constant*> known_;
  std::unordered_map<std::string, const Operation*> ops_;
  ir::ValueMap map_;
  std::unordered_map<std::string, Value*> values_;
  bool changed_ = false;
};

// Metadata that was added since, as of how it was trained.
void add_metadata(const Model& linked, Model& part) {
  for (const auto& [key, value] : linked.metadata.user_defined) {
    if (key.starts_with("millwright.")) part.metadata.user_defined[key] = value;
  }
}

}  // namespace

std::vector<Model> unlink(const Model& linked) {
  MW_CHECK(linked.parts != nullptr);
  const Parts& parts = *linked.parts;
  std::vector<Model> models;
  models.reserve(parts.models.size());
  for (const auto& part : parts.models) models.push_back(part->clone());
  std::set<std::pair<size_t, std::string>> done;
  for (const LinkedFunction& function : parts.functions) {
    const ir::Function* whole = linked.program->find_function(function.name);
    MW_CHECK(whole != nullptr);
    const auto pieces = cut(*whole, function, parts);
    for (size_t i = 0; i < pieces.size(); ++i) {
      const Segment& segment = function.segments[i];
      Piece piece(parts, segment, *whole);
      piece.make(pieces[i]);
      if (!piece.is_changed() || !done.emplace(segment.part, segment.function).second) continue;
      Model& part = models[segment.part];
      for (auto& own : part.program->functions) {
        if (own->name == segment.function) own = piece.take();
      }
      add_metadata(linked, part);
    }
  }
  return models;
}

}  // namespace mw::package
