// verify() and correct(): scoping, signatures and inferred types, op by op.
#include "ir/verify.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "ir/op_view.h"

namespace mw::ir {
namespace {

constexpr int kMaxDepth = 64;  // nested blocks

// Whether `declared`, which fits what converters write, is narrower than what was inferred.
bool is_too_small(const Type& inferred, const Type& declared, const Type& converter) {
  if (!compatible(inferred, declared)) return true;
  if (!inferred.is_tensor() || !inferred.has_rank() || !declared.has_rank() ||
      !converter.has_rank()) {
    return false;
  }
  for (size_t i = 0; i < inferred.shape().size(); ++i) {
    if (inferred.shape()[i] < 0 && converter.shape()[i] >= 0) return true;
  }
  return false;
}

bool differ_in_float_dtype(const Type& a, const Type& b) {
  return a.is_tensor() && b.is_tensor() && is_float(a.dtype()) && is_float(b.dtype()) &&
         a.dtype() != b.dtype() && compatible(a.with_dtype(b.dtype()), b);
}

class Verifier : private Facts {
 public:
  Verifier(Function& function, const Catalog& catalog, const VerifyOptions& options)
      : function_(function), catalog_(catalog), options_(options) {}

  std::vector<Correction> run() {
    block(function_.body, 0);
    return std::move(corrections_);
  }

 private:
  void block(Block& block, int depth) {
    if (depth > kMaxDepth) {
      fail(ErrorCode::kInvalidModel, "blocks are nested more than {} deep", kMaxDepth);
    }
    std::unordered_set<std::string> names;
    std::vector<const Value*> added;
    const auto define = [&](const Value& value) {
      if (!names.insert(value.name).second) {
        fail(ErrorCode::kInvalidModel, "'{}' is defined twice in one block", value.name);
      }
      visible_.insert(&value);
      added.push_back(&value);
    };
    for (const auto& argument : block.arguments) define(*argument);
    for (const auto& op : block.ops) {
      operation(*op, depth);
      for (const auto& output : op->outputs) define(*output);
    }
    for (const Value* output : block.outputs) {
      if (!visible_.contains(output)) {
        fail(ErrorCode::kInvalidModel, "output '{}' is not defined in its block", output->name);
      }
    }
    for (const Value* value : added) visible_.erase(value);
  }

  void operation(Operation& op, int depth) {
    const OpDef& def = catalog_.at(op, function_.opset);
    const OpView view(op, def, function_.opset);
    signature(view);
    correct_arguments(op);
    for (const auto& nested : op.blocks) block(*nested, depth + 1);
    if (op.is_const() && !find_attribute(op.attributes, "val")) {
      view.reject("val", "expected a value, got none");
    }
    if (has_unranked_operand(view)) return;
    const std::vector<Type> inferred = inferred_or_declared(view);
    if (inferred.size() != op.outputs.size()) {
      fail(ErrorCode::kInvalidModel, "{}: expected {} results, got {}", view.where(),
           inferred.size(), op.outputs.size());
    }
    const std::vector<Type> converter = as_converter_declares(view);
    for (size_t i = 0; i < inferred.size(); ++i) {
      Value& output = *op.outputs[i];
      const bool explained = i < converter.size() && compatible(converter[i], output.type);
      // A dtype that was meant stays, and what uses the result was declared by it.
      if (explained && differ_in_float_dtype(inferred[i], output.type)) continue;
      if (explained && is_too_small(inferred[i], output.type, converter[i])) {
        set_type(output, inferred[i]);
      } else if (!compatible(inferred[i], output.type)) {
        fail(ErrorCode::kInvalidModel, "{}: result '{}': expected {}, got {}", view.where(),
             output.name, inferred[i].str(), output.type.str());
      }
    }
  }

  // --- what converters get wrong ---

  // Types as a converter saw them when it inferred those of the results: a declared type that has
  // been corrected, and fp16 for an argument that it made fp32 without putting a cast behind it, as
  // coremltools does for iOS15, which knows no fp16 arguments, where an op has an fp32 epsilon.
  Type type_of(const Operand& operand) const override {
    if (operand.value == nullptr) return Facts::type_of(operand);
    if (const auto found = declared_.find(operand.value); found != declared_.end()) {
      return found->second;
    }
    return is_half_argument(operand) ? operand.value->type.with_dtype(DType::kF16)
                                     : operand.value->type;
  }
  [[nodiscard]] bool is_half_argument(const Operand& operand) const {
    return operand.value != nullptr && operand.value->producer == nullptr &&
           operand.value->block == &function_.body && operand.value->type.is_tensor() &&
           operand.value->type.dtype() == DType::kF32 && function_.opset == Opset::kIos15;
  }

  template <class Test>
  static bool any_operand(const Operation& op, const Test& test) {
    return std::any_of(op.inputs.begin(), op.inputs.end(), [&](const Input& input) {
      return std::any_of(input.operands.begin(), input.operands.end(), test);
    });
  }
  [[nodiscard]] bool has_half_argument(const Operation& op) const {
    return any_operand(op, [&](const Operand& operand) { return is_half_argument(operand); });
  }
  [[nodiscard]] bool follows_correction(const Operation& op) const {
    return any_operand(op,
                       [&](const Operand& operand) { return declared_.contains(operand.value); });
  }

  std::vector<Type> inferred_or_declared(const OpView& view) const {
    try {
      return infer_results(view);
    } catch (const Error&) {
      if (!has_half_argument(view.operation())) throw;
      std::vector<Type> types = as_converter_declares(view);
      if (types.empty()) throw;
      return types;
    }
  }

  // What a converter is known to declare where that may differ from what is inferred; else empty.
  std::vector<Type> as_converter_declares(const OpView& view) const {
    const Operation& op = view.operation();
    if (!op.blocks.empty()) return declared_by_blocks(op);
    const bool known = view.def().declared_as() != nullptr;
    if (!known && !follows_correction(op) && !has_half_argument(op)) return {};
    try {
      const OpView seen(op, view.def(), view.opset(), this);
      return known ? view.def().declared_as()(seen) : view.def().infer()(seen);
    } catch (const Error&) {
      return {};
    }
  }

  // The results of an op with blocks follow from values inside: once one of these was corrected,
  // what is declared of the results is believed to follow from it.
  std::vector<Type> declared_by_blocks(const Operation& op) const {
    const bool follows =
        follows_correction(op) ||
        std::any_of(op.blocks.begin(), op.blocks.end(), [&](const auto& nested) {
          return std::any_of(nested->outputs.begin(), nested->outputs.end(),
                             [&](const Value* output) { return declared_.contains(output); });
        });
    std::vector<Type> types;
    if (!follows) return types;
    for (const auto& output : op.outputs) types.push_back(output->type);
    return types;
  }

  void set_type(Value& value, const Type& type) {
    declared_.emplace(&value, value.type);
    corrections_.push_back({&value, value.type});
    value.type = type;
  }

  // Block arguments are declared as the operands that they stand for.
  void correct_arguments(const Operation& op) {
    std::vector<const Operand*> operands;
    for (const Operand& operand : ir::operands(op)) operands.push_back(&operand);
    for (const auto& nested : op.blocks) {
      if (nested->arguments.size() != operands.size()) continue;
      for (size_t i = 0; i < operands.size(); ++i) {
        const auto found = declared_.find(operands[i]->value);
        Value& argument = *nested->arguments[i];
        if (found == declared_.end() || !compatible(found->second, argument.type)) continue;
        set_type(argument, operands[i]->value->type);
      }
    }
  }

  void signature(const OpView& view) {
    for (const Input& input : view.operation().inputs) {
      const InputSpec* spec = view.def().find_input(input.name);
      if (spec == nullptr) {
        view.reject(input.name, "unknown input; {} takes {}", view.def().name(),
                    inputs_of(view.def()));
      }
      if (input.operands.size() != 1 && (spec->flags & kVariadic) == 0) {
        view.reject(input.name, "expected one value, got {}", input.operands.size());
      }
      for (const Operand& operand : input.operands) {
        if (operand.value != nullptr && !visible_.contains(operand.value)) {
          view.reject(input.name, "'{}' is not defined before its use", operand.value->name);
        }
        if (options_.strict) strict(view, *spec, operand);
      }
    }
    for (const InputSpec& spec : view.def().inputs()) {
      if ((spec.flags & kOptional) == 0 && !view.has(spec.name)) {
        view.reject(spec.name, "expected a value, got none; add the input");
      }
    }
  }

  static std::string inputs_of(const OpDef& def) {
    std::string text;
    for (const InputSpec& spec : def.inputs()) text += (text.empty() ? "" : ", ") + spec.name;
    return text.empty() ? "no inputs" : text;
  }

  static void strict(const OpView& view, const InputSpec& spec, const Operand& operand) {
    const Type type = operand.literal ? operand.literal->type() : operand.value->type;
    const std::vector<DType> allowed = view.def().dtypes_of(spec);
    if (!allowed.empty() && type.is_tensor() &&
        std::find(allowed.begin(), allowed.end(), type.dtype()) == allowed.end()) {
      view.reject(spec.name, "dtype {} is outside what {} allows at opset {}",
                  mw::name_of(type.dtype()), view.def().name(), name_of(view.opset()));
    }
  }

  Function& function_;
  const Catalog& catalog_;
  const VerifyOptions& options_;
  std::unordered_set<const Value*> visible_;
  std::unordered_map<const Value*, Type> declared_;  // of corrected values
  std::vector<Correction> corrections_;
};

}  // namespace

std::string Correction::text() const {
  const std::string name = value->producer != nullptr
                               ? fmt::format("{} '{}'", value->producer->type, value->name)
                               : fmt::format("block argument '{}'", value->name);
  return fmt::format("{}: declared {}, taken as {}", name, declared.str(), value->type.str());
}

std::vector<Correction> correct(Function& function, const Catalog& catalog,
                                const VerifyOptions& options) {
  return in_context([&] { return fmt::format("function '{}'", function.name); },
                    [&] { return Verifier(function, catalog, options).run(); });
}

std::vector<Correction> correct(Program& program, const Catalog& catalog,
                                const VerifyOptions& options) {
  std::vector<Correction> all;
  for (const auto& function : program.functions) {
    std::vector<Correction> found = correct(*function, catalog, options);
    all.insert(all.end(), found.begin(), found.end());
  }
  return all;
}

void verify(const Function& function, const Catalog& catalog, const VerifyOptions& options) {
  (void)correct(*clone(function).function, catalog, options);
}

void verify(const Program& program, const Catalog& catalog, const VerifyOptions& options) {
  for (const auto& function : program.functions) verify(*function, catalog, options);
}

}  // namespace mw::ir
