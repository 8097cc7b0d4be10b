// verify(): scoping, signatures and inferred types, op by op.
#include "ir/verify.h"

#include <algorithm>
#include <unordered_set>

#include "base/error.h"
#include "ir/op_view.h"

namespace mw::ir {
namespace {

constexpr int kMaxDepth = 64;  // nested blocks

class Verifier {
 public:
  Verifier(const Function& function, const Catalog& catalog, const VerifyOptions& options)
      : function_(function), catalog_(catalog), options_(options) {}

  void run() { block(function_.body, 0); }

 private:
  void block(const Block& block, int depth) {
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

  void operation(const Operation& op, int depth) {
    const OpDef& def = catalog_.at(op, function_.opset);
    const OpView view(op, def, function_.opset);
    signature(view);
    for (const auto& nested : op.blocks) block(*nested, depth + 1);
    if (op.is_const() && !find_attribute(op.attributes, "val")) {
      view.reject("val", "expected a value, got none");
    }
    if (has_unranked_operand(view)) return;
    const std::vector<Type> inferred = infer_results(view);
    if (inferred.size() != op.outputs.size()) {
      fail(ErrorCode::kInvalidModel, "{}: expected {} results, got {}", view.where(),
           inferred.size(), op.outputs.size());
    }
    for (size_t i = 0; i < inferred.size(); ++i) {
      if (!compatible(inferred[i], op.outputs[i]->type)) {
        fail(ErrorCode::kInvalidModel, "{}: result '{}': expected {}, got {}", view.where(),
             op.outputs[i]->name, inferred[i].str(), op.outputs[i]->type.str());
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

  const Function& function_;
  const Catalog& catalog_;
  const VerifyOptions& options_;
  std::unordered_set<const Value*> visible_;
};

}  // namespace

void verify(const Function& function, const Catalog& catalog, const VerifyOptions& options) {
  in_context([&] { return fmt::format("function '{}'", function.name); },
             [&] { Verifier(function, catalog, options).run(); });
}

void verify(const Program& program, const Catalog& catalog, const VerifyOptions& options) {
  for (const auto& function : program.functions) verify(*function, catalog, options);
}

}  // namespace mw::ir
