// specialise(): rebuilds a function op by op with concrete types, evaluating what is known.
#include "passes/specialise.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "base/error.h"
#include "ir/evaluate.h"
#include "ir/names.h"
#include "ir/op_view.h"
#include "passes/dead_code.h"

namespace mw::passes {
namespace {

using ir::Block;
using ir::Operand;
using ir::Operation;
using ir::Type;
using ir::Value;

constexpr uint32_t kNeverFolded = ir::kRandom | ir::kReadsState | ir::kWritesState |
                                  ir::kControlFlow | ir::kConstexpr | ir::kListOp | ir::kNoFold;
constexpr int kMaxLoopRounds = 8;
constexpr int64_t kShapeSized = 64;  // elements

// A constant of the result, emitted into the body when something needs it.
struct Known {
  ir::ConstantPtr constant;
  std::string name;
  Type type;
  Value* emitted = nullptr;
};

// What a value of the source has become: a value of the result, or a known constant.
struct Image {
  Value* value = nullptr;
  std::shared_ptr<Known> known;
  Type type;
  uint64_t retyped = 0, revalued = 0;  // the adjustments that last changed type and constant
};

// How an op was specialised, for doing it again.
struct Record {
  const Operation* op = nullptr;
  const ir::OpDef* def = nullptr;
  std::vector<const Image*> operands;
  std::vector<char> consulted;  // whether inference asked for the constant of that operand
  bool folded = false;
};

bool same_bits(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || a.shape() != b.shape() || a.dtype() == DType::kString) return false;
  return a.raw() == b.raw() || std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.nbytes())) == 0;
}

bool has_blocks(const Block& block) {
  return std::any_of(block.ops.begin(), block.ops.end(),
                     [](const auto& op) { return !op->blocks.empty(); });
}

class Specialiser : private ir::Facts {
 public:
  Specialiser(const ir::Function& source, const ir::Catalog& catalog, SpecialiseOptions options,
              bool records = false)
      : source_(source),
        catalog_(catalog),
        options_(std::move(options)),
        records_wanted_(records),
        result_(std::make_unique<ir::Function>()) {}

  std::unique_ptr<ir::Function> run() {
    result_->name = source_.name;
    result_->opset = source_.opset;
    result_->attributes = source_.attributes;
    for (const auto& argument : source_.body.arguments) {
      set_value(*argument,
                result_->body.add_argument(names_.fresh(argument->name), argument_type(*argument)));
    }
    block(source_.body, result_->body);
    for (const Value* output : source_.body.outputs) {
      result_->body.outputs.push_back(value_of(output));
    }
    remove_dead_ops(*result_, catalog_);
    if (records_wanted_) forget_dead();
    return std::move(result_);
  }

  // See AdjustableFunction.
  bool adjust(const Shapes& shapes, std::vector<const Value*>& changed) {
    options_.shapes = shapes;
    ++adjustment_;
    for (const auto& argument : source_.body.arguments) {
      if (!retype(images_.at(argument.get()), argument_type(*argument), changed)) return false;
    }
    return std::all_of(records_.begin(), records_.end(),
                       [&](Record& record) { return !is_stale(record) || redo(record, changed); });
  }

 private:
  Type argument_type(const Value& argument) const {
    const auto found = options_.shapes.find(argument.name);
    if (found == options_.shapes.end()) return argument.type;
    Type type = Type::tensor(argument.type.dtype(), found->second);
    if (!compatible(type, argument.type)) {
      fail(ErrorCode::kInvalidArgument, "input '{}': expected shape {}, got {}", argument.name,
           to_string(argument.type.shape()), to_string(found->second));
    }
    return type;
  }

  // --- facts about the source's operands, read through their images ---
  const Image& image(const Value* value) const {
    const auto found = images_.find(value);
    if (found == images_.end()) {
      fail(ErrorCode::kInvalidModel, "'{}' is used before it is defined", value->name);
    }
    return found->second;
  }
  Type type_of(const Operand& operand) const override {
    if (operand.literal) return operand.literal->type();
    return image(operand.value).type;
  }
  const Tensor* tensor_of(const Operand& operand) const override {
    if (operand.literal) return Facts::tensor_of(operand);
    const Image& found = image(operand.value);
    if (records_wanted_) consulted_.push_back(&found);
    if (!found.known) return nullptr;
    return Facts::tensor_of(Operand{nullptr, found.known->constant});
  }

  // --- constants ---
  void make_known(const Value& source, ir::ConstantPtr constant) {
    auto known = std::make_shared<Known>();
    known->type = constant->type();
    known->constant = std::move(constant);
    known->name = source.name;
    const Type type = known->type;
    images_[&source] = {nullptr, std::move(known), type};
  }
  void set_value(const Value& source, Value* value) {
    images_[&source] = {value, nullptr, value->type};
  }
  Value* value_of(const Value* source) {
    const Image& found = image(source);
    if (!found.known) return found.value;
    if (found.known->emitted == nullptr) found.known->emitted = emit(*found.known);
    return found.known->emitted;
  }
  // Constants go to the body of the function: an op that is still being rebuilt is appended after
  // them.
  Value* emit(const Known& known) {
    auto op = std::make_unique<Operation>();
    op->type = ir::kConstOp;
    op->parent = &result_->body;
    const std::string name = names_.fresh(known.name);
    op->attributes = {{"name", ir::Constant::string(name)}, {"val", known.constant}};
    Value* value = op->add_output(name, known.type);
    result_->body.ops.push_back(std::move(op));
    return value;
  }

  // --- operations ---
  void block(const Block& from, Block& to) {
    for (const auto& op : from.ops) {
      if (op->is_const()) {
        constant(*op);
      } else {
        operation(*op, to);
      }
    }
  }

  void constant(const Operation& op) {
    const ir::ConstantPtr value = find_attribute(op.attributes, "val");
    if (!value) {
      fail(ErrorCode::kInvalidModel, "const '{}': val: expected a value, got none", op.name());
    }
    make_known(*op.outputs[0], value);
  }

  void operation(const Operation& op, Block& to) {
    const ir::OpDef& def = catalog_.at(op, source_.opset);
    const ir::OpView view(op, def, source_.opset, this);
    if (!op.blocks.empty()) {
      if (!to_inline(op, to)) control_flow(op, def, to);
      return;
    }
    consulted_.clear();
    std::vector<Type> types = infer(view);
    expect_affordable(view, types);
    Record record;
    if (records_wanted_) record = record_of(op, def);
    record.folded = can_fold(view, types);
    if (records_wanted_) records_.push_back(record);
    if (record.folded) return fold(op, def);
    Operation* copy = append(op, to);
    for (size_t i = 0; i < types.size(); ++i) {
      set_value(*op.outputs[i], copy->add_output(names_.fresh(op.outputs[i]->name), types[i]));
    }
  }

  static std::vector<Type> infer(const ir::OpView& view) {
    std::vector<Type> types = infer_results(view);
    if (types.size() != view.operation().outputs.size()) {
      fail(ErrorCode::kInvalidModel, "{}: expected {} results, got {}", view.where(), types.size(),
           view.operation().outputs.size());
    }
    return types;
  }

  // --- adjusting ---
  Record record_of(const Operation& op, const ir::OpDef& def) const {
    Record record{&op, &def, {}, {}, false};
    for (const Operand& operand : ir::operands(op)) {
      if (operand.value != nullptr) record.operands.push_back(&image(operand.value));
    }
    note_consulted(record);
    return record;
  }

  void note_consulted(Record& record) const {
    record.consulted.assign(record.operands.size(), false);
    for (size_t i = 0; i < record.operands.size(); ++i) {
      record.consulted[i] =
          std::find(consulted_.begin(), consulted_.end(), record.operands[i]) != consulted_.end()
              ? 1
              : 0;
    }
  }

  // What an op becomes depends on the types of its operands and on the constants it asked for.
  bool is_stale(const Record& record) const {
    for (size_t i = 0; i < record.operands.size(); ++i) {
      const Image& operand = *record.operands[i];
      if (operand.retyped == adjustment_) return true;
      if (operand.revalued == adjustment_ && (record.folded || record.consulted[i] != 0)) {
        return true;
      }
    }
    return false;
  }

  bool redo(Record& record, std::vector<const Value*>& changed) {
    const Operation& op = *record.op;
    const ir::OpView view(op, *record.def, source_.opset, this);
    consulted_.clear();
    const std::vector<Type> types = infer(view);
    note_consulted(record);
    if (can_fold(view, types) != record.folded) return false;
    if (record.folded) return refold(record, changed);
    for (size_t i = 0; i < types.size(); ++i) {
      if (!retype(images_.at(op.outputs[i].get()), types[i], changed)) return false;
    }
    return true;
  }

  bool refold(const Record& record, std::vector<const Value*>& changed) {
    const Operation& op = *record.op;
    std::vector<ir::Datum> results = ir::evaluate(op, *record.def, source_.opset, *this, nullptr);
    for (size_t i = 0; i < results.size(); ++i) {
      Image& image = images_.at(op.outputs[i].get());
      Known& known = *image.known;
      if (same_bits(known.constant->value(), results[i].tensor)) continue;
      known.constant = ir::Constant::tensor(std::move(results[i].tensor));
      known.type = known.constant->type();
      if (known.type != image.type) image.retyped = adjustment_;
      image.type = known.type;
      image.revalued = adjustment_;
      if (known.emitted == nullptr) continue;
      ir::set_attribute(known.emitted->producer->attributes, "val", known.constant);
      known.emitted->type = known.type;
      changed.push_back(known.emitted);
    }
    return true;
  }

  // A pass may have changed the dtype of the value since: only extents are taken over.
  bool retype(Image& image, const Type& type, std::vector<const Value*>& changed) {
    if (type == image.type) return true;
    if (!type.is_tensor() || !image.type.is_tensor() || type.dtype() != image.type.dtype() ||
        type.is_static() != image.type.is_static()) {
      return false;
    }
    image.type = type;
    image.retyped = adjustment_;
    if (image.value == nullptr) return true;
    image.value->type = Type::tensor(image.value->type.dtype(), type.shape());
    changed.push_back(image.value);
    return true;
  }

  // Values that dead code removal has dropped from the result.
  void forget_dead() {
    std::unordered_set<const Value*> alive;
    for (const auto& argument : result_->body.arguments) alive.insert(argument.get());
    for (const auto& op : result_->body.ops) {
      for (const auto& output : op->outputs) alive.insert(output.get());
    }
    for (auto& [source, image] : images_) {
      if (!alive.contains(image.value)) image.value = nullptr;
      if (image.known && !alive.contains(image.known->emitted)) image.known->emitted = nullptr;
    }
  }

  bool can_fold(const ir::OpView& view, const std::vector<Type>& types) const {
    const ir::OpDef& def = view.def();
    if (def.has_trait(kNeverFolded) || !def.eval() || types.empty()) return false;
    int64_t elements = 0;
    for (const Type& type : types) {
      if (!type.is_tensor()) return false;
      if (type.is_static()) elements += count_of(type.shape());
    }
    if (elements > options_.fold_limit) return false;
    if (elements > kShapeSized && folded_ + elements > options_.total_fold_limit) return false;
    for (const Operand& operand : ir::operands(view.operation())) {
      if (def.has_trait(ir::kTypeOnly) ? !type_of(operand).is_static()
                                       : tensor_of(operand) == nullptr) {
        return false;
      }
    }
    return true;
  }

  // Type-only ops read nothing but types; the others have every operand known.
  void fold(const Operation& op, const ir::OpDef& def) {
    std::vector<ir::Datum> results = ir::evaluate(op, def, source_.opset, *this, nullptr);
    for (size_t i = 0; i < results.size(); ++i) {
      folded_ += results[i].tensor.count();
      make_known(*op.outputs[i], ir::Constant::tensor(std::move(results[i].tensor)));
    }
  }

  Operation* append(const Operation& op, Block& to) {
    auto copy = std::make_unique<Operation>();
    copy->type = op.type;
    copy->attributes = op.attributes;
    copy->parent = &to;
    copy->inputs = op.inputs;
    for (Operand& operand : ir::operands(*copy)) {
      if (operand.value != nullptr) operand.value = value_of(operand.value);
    }
    to.ops.push_back(std::move(copy));
    return to.ops.back().get();
  }

  // --- control flow ---
  // A branch whose predicate is known replaces its op. A branching op has blocks without arguments
  // and one single-element operand that chooses between them: true the first, false the second.
  bool to_inline(const Operation& op, Block& to) {
    if (op.blocks.size() != 2 || !op.blocks[0]->arguments.empty() ||
        !op.blocks[1]->arguments.empty()) {
      return false;
    }
    if (op.inputs.size() != 1 || op.inputs[0].operands.size() != 1) return false;
    const Tensor* predicate = tensor_of(op.inputs[0].operands[0]);
    if (predicate == nullptr || predicate->dtype() != DType::kBool || predicate->count() != 1) {
      return false;
    }
    const Block& taken = *op.blocks[predicate->integer_at(0) != 0 ? 0 : 1];
    block(taken, to);
    if (taken.outputs.size() != op.outputs.size()) {
      fail(ErrorCode::kInvalidModel, "{} '{}': expected {} results, got {}", op.type, op.name(),
           taken.outputs.size(), op.outputs.size());
    }
    for (size_t i = 0; i < op.outputs.size(); ++i) {
      images_[op.outputs[i].get()] = image(taken.outputs[i]);
    }
    return true;
  }

  // Nested blocks are specialised for the types of the operands; where an iteration changes an
  // extent, that extent becomes unknown and the blocks are specialised again.
  void control_flow(const Operation& op, const ir::OpDef& def, Block& to) {
    std::vector<Type> arguments = operand_types(op);
    for (int round = 0; round < kMaxLoopRounds; ++round) {
      auto draft = std::make_unique<Operation>();
      draft->type = op.type;
      draft->attributes = op.attributes;
      draft->parent = &to;
      draft->inputs = op.inputs;
      for (Operand& operand : ir::operands(*draft)) {
        if (operand.value != nullptr) operand.value = value_of(operand.value);
      }
      for (const auto& nested : op.blocks) nested_block(*nested, *draft->add_block(), arguments);
      if (widen(*draft, arguments)) continue;
      const ir::OpView view(*draft, def, source_.opset);
      const std::vector<Type> types = infer_results(view);
      for (size_t i = 0; i < op.outputs.size(); ++i) {
        set_value(*op.outputs[i],
                  draft->add_output(names_.fresh(op.outputs[i]->name), types.at(i)));
      }
      to.ops.push_back(std::move(draft));
      return;
    }
    fail(ErrorCode::kUnsupported, "{} '{}': the shapes of its loop variables do not settle",
         op.type, op.name());
  }

  std::vector<Type> operand_types(const Operation& op) const {
    std::vector<Type> types;
    for (const Operand& operand : ir::operands(op)) types.push_back(type_of(operand));
    return types;
  }

  void nested_block(const Block& from, Block& to, const std::vector<Type>& arguments) {
    to.name = from.name;
    to.attributes = from.attributes;
    if (!from.arguments.empty() && from.arguments.size() != arguments.size()) {
      fail(ErrorCode::kInvalidModel, "a block has {} arguments for {} loop variables",
           from.arguments.size(), arguments.size());
    }
    for (size_t i = 0; i < from.arguments.size(); ++i) {
      set_value(*from.arguments[i],
                to.add_argument(names_.fresh(from.arguments[i]->name), arguments[i]));
    }
    block(from, to);
    for (const Value* output : from.outputs) to.outputs.push_back(value_of(output));
  }

  // True when a block hands back a loop variable of a type that the arguments do not cover.
  static bool widen(const Operation& draft, std::vector<Type>& arguments) {
    bool changed = false;
    for (const auto& nested : draft.blocks) {
      if (nested->arguments.empty() || nested->outputs.size() != arguments.size()) continue;
      for (size_t i = 0; i < arguments.size(); ++i) {
        const Type joined = join(arguments[i], nested->outputs[i]->type);
        if (joined == arguments[i]) continue;
        arguments[i] = joined;
        changed = true;
      }
    }
    return changed;
  }

  static Type join(const Type& a, const Type& b) {
    if (a.kind() != b.kind()) return a;
    if (a.is_tensor()) {
      if (!a.has_rank() || !b.has_rank()) return Type::unranked(a.dtype());
      if (a.rank() != b.rank()) return a;
      Shape shape = a.shape();
      for (size_t i = 0; i < shape.size(); ++i) {
        if (shape[i] != b.shape()[i]) shape[i] = ir::kUnknownDim;
      }
      return Type::tensor(a.dtype(), shape);
    }
    if (a.is_list()) {
      return Type::list(join(a.element(), b.element()),
                        a.length() == b.length() ? a.length() : ir::kUnknownDim);
    }
    return a;
  }

  const ir::Function& source_;
  const ir::Catalog& catalog_;
  SpecialiseOptions options_;
  bool records_wanted_;
  std::unique_ptr<ir::Function> result_;  // until run() hands it out
  std::unordered_map<const Value*, Image> images_;
  ir::Names names_;
  int64_t folded_ = 0;  // elements
  std::vector<Record> records_;
  mutable std::vector<const Image*> consulted_;
  uint64_t adjustment_ = 0;
};

class Adjustable : public ir::AdjustableFunction {
 public:
  Adjustable(const ir::Function& source, const ir::Catalog& catalog,
             const SpecialiseOptions& options)
      : specialiser_(source, catalog, options, true), function_(specialiser_.run()) {}
  [[nodiscard]] const std::shared_ptr<ir::Function>& function() const override { return function_; }
  bool adjust(const Shapes& shapes, std::vector<const Value*>& changed) override {
    try {
      return specialiser_.adjust(shapes, changed);
    } catch (const Error&) {
      return false;  // specialise() says what is wrong
    }
  }

 private:
  Specialiser specialiser_;
  std::shared_ptr<ir::Function> function_;
};

}  // namespace

std::unique_ptr<ir::Function> specialise(const ir::Function& function, const ir::Catalog& catalog,
                                         const SpecialiseOptions& options) {
  return in_context([&] { return fmt::format("function '{}'", function.name); },
                    [&] { return Specialiser(function, catalog, options).run(); });
}

std::unique_ptr<ir::AdjustableFunction> specialise_adjustable(const ir::Function& function,
                                                              const ir::Catalog& catalog,
                                                              const SpecialiseOptions& options) {
  if (has_blocks(function.body)) return nullptr;
  return in_context([&] { return fmt::format("function '{}'", function.name); },
                    [&] { return std::make_unique<Adjustable>(function, catalog, options); });
}

}  // namespace mw::passes
