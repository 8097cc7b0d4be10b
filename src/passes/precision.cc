// set_precision(): rebuilds a function with floats of one dtype and casts at its borders.
#include "passes/precision.h"

#include <algorithm>
#include <unordered_set>

#include "base/error.h"
#include "ir/cast.h"
#include "ir/names.h"
#include "ir/op_view.h"

namespace mw::passes {
namespace {

using ir::Block;
using ir::Operand;
using ir::Operation;
using ir::Type;
using ir::Value;

class Retyper {
 public:
  Retyper(const ir::Function& source, const ir::Catalog& catalog, const Numerics& numerics)
      : source_(source),
        catalog_(catalog),
        compute_(numerics.values),
        round_fp16_(numerics.rounds_fp16),
        result_(std::make_unique<ir::Function>()) {}

  std::unique_ptr<ir::Function> run() {
    result_->name = source_.name;
    result_->opset = source_.opset;
    result_->attributes = source_.attributes;
    Block& body = result_->body;
    for (const auto& argument : source_.body.arguments) {
      map_[argument.get()] = body.add_argument(names_.fresh(argument->name), argument->type);
    }
    for (const Value* output : source_.body.outputs) names_.take(output->name);
    block(source_.body, body);
    // A value that is returned several times has one name: callers find one result under it.
    std::unordered_set<const Value*> returned;
    for (const Value* output : source_.body.outputs) {
      if (returned.insert(output).second) body.outputs.push_back(exported(*output, body));
    }
    return std::move(result_);
  }

 private:
  // The value behind an output, in the output's dtype and under its name, which was kept free.
  Value* exported(const Value& output, Block& body) {
    Value* value = mapped(&output);
    const bool kept = !output.type.is_tensor() || value->type.dtype() == output.type.dtype();
    if (kept && value->name == output.name) return value;
    if (kept && is_result(value, body)) {
      value->name = output.name;
      return value;
    }
    Value* out = cast(value, output.type.dtype(), body);
    out->name = output.name;
    return out;
  }

  // Whether `value` is computed in `body` and no output yet.
  static bool is_result(const Value* value, const Block& body) {
    const auto& outputs = body.outputs;
    return value->producer != nullptr &&
           std::find(outputs.begin(), outputs.end(), value) == outputs.end();
  }

  Value* mapped(const Value* value) const {
    const auto found = map_.find(value);
    if (found == map_.end()) {
      fail(ErrorCode::kInvalidModel, "'{}' is used before it is defined", value->name);
    }
    return found->second;
  }

  bool is_foreign(const Type& type) const {
    return type.is_tensor() && is_float(type.dtype()) && type.dtype() != compute_;
  }

  Type retyped(const Type& type) const {
    if (is_foreign(type)) return type.with_dtype(compute_);
    if (type.is_list()) return Type::list(retyped(type.element()), type.length());
    return type;
  }

  // `value` as a tensor of the dtype of `wanted`, cast in `block` where it differs.
  Value* with_dtype(Value* value, const Type& wanted, Block& block) {
    if (!wanted.is_tensor() || !value->type.is_tensor() || value->type.dtype() == wanted.dtype()) {
      return value;
    }
    return cast(value, wanted.dtype(), block);
  }

  Value* cast(Value* value, DType dtype, Block& block) {
    const std::string name = names_.fresh(fmt::format("{}_{}", value->name, mw::name_of(dtype)));
    block.ops.push_back(ir::make_cast(value, dtype, name, block));
    return block.ops.back()->outputs[0].get();
  }

  // The operand as the computation wants it. A value defined outside is cast where it is used
  // first; the cast is shared within the block that holds it and the blocks inside.
  Operand computed(const Operand& operand, Block& block) {
    if (operand.literal) {
      if (!is_foreign(operand.literal->type())) return operand;
      return {nullptr, ir::Constant::tensor(operand.literal->value().to(compute_))};
    }
    Value* value = mapped(operand.value);
    if (!is_foreign(value->type)) return {value, nullptr};
    for (Block* scope = &block; scope != nullptr;
         scope = scope->parent != nullptr ? scope->parent->parent : nullptr) {
      const auto found = casts_.find({scope, value});
      if (found != casts_.end()) return {found->second, nullptr};
    }
    Value* out = cast(value, compute_, block);
    casts_[{&block, value}] = out;
    return {out, nullptr};
  }

  // A constant number that inference wants to know, an epsilon say: it cannot go through a cast.
  bool is_setting(const ir::OpDef& def, const ir::Input& input, const Operand& operand) const {
    const ir::InputSpec* spec = def.find_input(input.name);
    const ir::ConstantPtr constant = ir::constant_of(operand);
    return spec != nullptr && (spec->flags & ir::kConst) != 0 && constant &&
           constant->is_tensor() && constant->has_value() && constant->type().rank() == 0 &&
           is_foreign(constant->type());
  }
  Operand setting(const Operand& operand) const {
    return {nullptr, ir::Constant::tensor(ir::constant_of(operand)->value().to(compute_))};
  }

  Operand stored(const Operand& operand, Block& block) {
    if (operand.literal) return operand;
    return {with_dtype(mapped(operand.value), operand.value->type, block), nullptr};
  }

  void block(const Block& from, Block& to) {
    for (const auto& op : from.ops) operation(*op, to);
  }

  bool is_float_cast(const Operation& op, const Operation& copy) const {
    if (op.type != ir::kCastOp) return false;
    const Value* x = copy.input("x");
    return x != nullptr && x->type.is_tensor() && x->type.dtype() == compute_ &&
           op.outputs[0]->type.is_tensor() && is_float(op.outputs[0]->type.dtype());
  }

  void operation(const Operation& op, Block& to) {
    const ir::OpDef& def = catalog_.at(op, source_.opset);
    auto copy = std::make_unique<Operation>();
    copy->type = op.type;
    copy->attributes = op.attributes;
    copy->parent = &to;
    const bool keeps_dtypes =
        op.is_const() || def.has_trait(ir::kConstexpr | ir::kReadsState | ir::kWritesState);
    for (const ir::Input& input : op.inputs) {
      ir::Input& made = copy->inputs.emplace_back(ir::Input{input.name, {}});
      for (const Operand& operand : input.operands) {
        made.operands.push_back(keeps_dtypes                      ? stored(operand, to)
                                : is_setting(def, input, operand) ? setting(operand)
                                                                  : computed(operand, to));
      }
    }
    if (is_float_cast(op, *copy)) {
      map_[op.outputs[0].get()] = rounded(copy->input("x"), op.outputs[0]->type, to);
      return;
    }
    rename_dtype(def, *copy);
    for (const auto& nested : op.blocks) nested_block(*nested, *copy->add_block());
    results(op, def, std::move(copy), to);
  }

  std::vector<Type> retyped_results(const Operation& op) const {
    std::vector<Type> types;
    types.reserve(op.outputs.size());
    for (const auto& output : op.outputs) types.push_back(retyped(output->type));
    return types;
  }

  void results(const Operation& op, const ir::OpDef& def, std::unique_ptr<Operation> copy,
               Block& to) {
    const ir::OpView view(*copy, def, source_.opset);
    const std::vector<Type> types =
        has_unranked_operand(view) ? retyped_results(op) : infer_results(view);
    if (types.size() != op.outputs.size()) {
      fail(ErrorCode::kInvalidModel, "{}: expected {} results, got {}", view.where(), types.size(),
           op.outputs.size());
    }
    std::vector<Value*> made;
    for (size_t i = 0; i < types.size(); ++i) {
      const Type declared = retyped(op.outputs[i]->type);
      const Type type = compatible(types[i], declared) ? refine(types[i], declared) : types[i];
      made.push_back(copy->add_output(names_.fresh(op.outputs[i]->name), type));
    }
    const bool computes =
        !op.is_const() && !def.has_trait(ir::kConstexpr | ir::kReadsState) && op.blocks.empty();
    to.ops.push_back(std::move(copy));
    for (size_t i = 0; i < made.size(); ++i) {
      // fill without a value, say, gives fp32 whatever its inputs are.
      if (computes && is_foreign(made[i]->type)) made[i] = cast(made[i], compute_, to);
      map_[op.outputs[i].get()] = computes ? rounded(made[i], op.outputs[i]->type, to) : made[i];
    }
  }

  Value* rounded(Value* value, const Type& declared, Block& to) {
    if (!round_fp16_ || !declared.is_tensor() || declared.dtype() != DType::kF16 ||
        value->type.dtype() != compute_) {
      return value;
    }
    return cast(cast(value, DType::kF16, to), compute_, to);
  }

  // cast(dtype = "fp16") and the like: the result is computed in the dtype of all others.
  void rename_dtype(const ir::OpDef& def, Operation& copy) const {
    if (def.dtype_input().empty()) return;
    for (ir::Input& input : copy.inputs) {
      if (input.name != def.dtype_input() || input.operands.size() != 1) continue;
      const ir::ConstantPtr constant = ir::constant_of(input.operands[0]);
      if (!constant || !constant->is_tensor() || constant->value().dtype() != DType::kString ||
          constant->value().count() != 1) {
        return;
      }
      const auto dtype = dtype_named(constant->value().data<std::string>()[0]);
      if (dtype && is_float(*dtype)) {
        input.operands = {{nullptr, ir::Constant::string(std::string(mw::name_of(compute_)))}};
      }
    }
  }

  void nested_block(const Block& from, Block& to) {
    to.name = from.name;
    to.attributes = from.attributes;
    for (const auto& argument : from.arguments) {
      map_[argument.get()] = to.add_argument(names_.fresh(argument->name), retyped(argument->type));
    }
    block(from, to);
    for (const Value* output : from.outputs) {
      to.outputs.push_back(computed({const_cast<Value*>(output), nullptr}, to).value);
    }
  }

  const ir::Function& source_;
  const ir::Catalog& catalog_;
  DType compute_;
  bool round_fp16_;
  std::unique_ptr<ir::Function> result_;
  std::unordered_map<const Value*, Value*> map_;
  std::map<std::pair<Block*, Value*>, Value*> casts_;
  ir::Names names_;
};

}  // namespace

std::unique_ptr<ir::Function> set_precision(const ir::Function& function,
                                            const ir::Catalog& catalog, const Numerics& numerics) {
  return in_context([&] { return fmt::format("function '{}'", function.name); },
                    [&] { return Retyper(function, catalog, numerics).run(); });
}

}  // namespace mw::passes
