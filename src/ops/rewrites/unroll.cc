// The trips are counted by running what the condition needs on known values, then cloned.
#include "ops/rewrites/unroll.h"

#include <optional>
#include <unordered_map>

#include "base/error.h"
#include "ir/builder.h"
#include "ir/evaluate.h"
#include "ops/rewrites/substitute.h"

namespace mw::ops {
namespace {

using ir::Block;
using ir::Operand;
using ir::Operation;
using ir::Type;
using ir::Value;

constexpr std::string_view kLoop = "while_loop", kVariables = "loop_vars";
constexpr int64_t kCountable = 64;  // elements of a value that is worth following
constexpr uint32_t kNotFollowed = ir::kRandom | ir::kReadsState | ir::kWritesState |
                                  ir::kControlFlow | ir::kConstexpr | ir::kListOp | ir::kNoFold;

// Values that are known: everywhere, or at one trip of a loop.
class Known : public ir::Facts {
 public:
  explicit Known(const Known* around = nullptr) : around_(around) {}
  void set(const Value* value, const Tensor& tensor) { tensors_[value] = tensor; }
  void forget(const Value* value) { tensors_.erase(value); }
  [[nodiscard]] const Tensor* tensor_of(const Operand& operand) const override {
    const auto found = tensors_.find(operand.value);
    if (found != tensors_.end()) return &found->second;
    return around_ != nullptr ? around_->tensor_of(operand) : Facts::tensor_of(operand);
  }
  [[nodiscard]] Type type_of(const Operand& operand) const override {
    const Tensor* tensor = operand.value != nullptr ? tensor_of(operand) : nullptr;
    if (tensor == nullptr) return Facts::type_of(operand);
    return Type::tensor(tensor->dtype(), tensor->shape());
  }

 private:
  const Known* around_;
  std::unordered_map<const Value*, Tensor> tensors_;
};

// Follows small values through ops.
class Counter {
 public:
  Counter(const ir::Catalog& catalog, ir::Opset opset, const Known* around = nullptr)
      : catalog_(catalog), opset_(opset), known_(around) {}

  [[nodiscard]] const Known& known() const { return known_; }
  // Remembers the results of `op` if its operands are known.
  void follow(const Operation& op) {
    if (op.is_const()) return;
    for (const auto& output : op.outputs) known_.forget(output.get());
    if (can_follow(op)) run(op);
  }

  // How often the body of the loop runs; nullopt where that is not known, or more than `limit`.
  std::optional<int64_t> trips(const Operation& loop, int64_t limit) {
    const Block &condition = *loop.blocks[0], &body = *loop.blocks[1];
    std::vector<std::optional<Tensor>> variables;
    for (const Operand& operand : loop.find_input(kVariables)->operands) {
      variables.push_back(value_of(operand));
    }
    for (int64_t trip = 0;; ++trip) {
      bind(condition, variables);
      follow(condition);
      const std::optional<Tensor> goes_on = value_of({condition.outputs[0], nullptr});
      if (!goes_on || goes_on->count() != 1) return std::nullopt;
      if (goes_on->integer_at(0) == 0) return trip;
      if (trip == limit) return std::nullopt;
      bind(body, variables);
      follow(body);
      for (size_t i = 0; i < variables.size(); ++i) {
        variables[i] = value_of({body.outputs[i], nullptr});
      }
    }
  }

 private:
  [[nodiscard]] std::optional<Tensor> value_of(const Operand& operand) const {
    const Tensor* tensor = known_.tensor_of(operand);
    if (tensor == nullptr || tensor->count() > kCountable) return std::nullopt;
    return *tensor;
  }

  void bind(const Block& block, const std::vector<std::optional<Tensor>>& variables) {
    for (size_t i = 0; i < variables.size(); ++i) {
      const Value* argument = block.arguments[i].get();
      if (variables[i]) {
        known_.set(argument, *variables[i]);
      } else {
        known_.forget(argument);
      }
    }
  }

  void follow(const Block& block) {
    for (const auto& op : block.ops) follow(*op);
  }

  [[nodiscard]] bool can_follow(const Operation& op) const {
    const ir::OpDef& def = catalog_.at(op, opset_);
    if (def.has_trait(kNotFollowed) || !def.eval() || !op.blocks.empty()) return false;
    for (const Operand& operand : ir::operands(op)) {
      if (def.has_trait(ir::kTypeOnly) ? !known_.type_of(operand).is_static()
                                       : !value_of(operand)) {
        return false;
      }
    }
    const ir::OpView view(op, def, opset_, &known_);
    for (const Type& type : def.infer()(view)) {
      if (!type.is_tensor()) return false;
      if (type.is_static() && count_of(type.shape()) > kCountable) return false;
    }
    return true;
  }

  void run(const Operation& op) {
    const ir::OpDef& def = catalog_.at(op, opset_);
    std::vector<ir::Datum> results = ir::evaluate(op, def, opset_, known_, nullptr);
    for (size_t i = 0; i < results.size(); ++i) {
      known_.set(op.outputs[i].get(), results[i].tensor);
    }
  }

  const ir::Catalog& catalog_;
  ir::Opset opset_;
  Known known_;
};

int64_t ops_in(const Block& block) {
  int64_t count = 0;
  ir::for_each_op(block, [&](const Operation&) { ++count; });
  return count;
}

class Unroller {
 public:
  Unroller(ir::Function& function, const ir::Catalog& catalog, const UnrollLimits& limits)
      : function_(function),
        catalog_(catalog),
        limits_(limits),
        everywhere_(catalog, function.opset) {}

  void block(Block& block) {
    for (auto at = block.ops.begin(); at != block.ops.end();) {
      Operation& op = **at;
      if (op.type == kLoop && op.blocks.size() == 2) {
        const std::optional<int64_t> trips =
            Counter(catalog_, function_.opset, &everywhere_.known()).trips(op, limits_.trips);
        if (trips && *trips * ops_in(*op.blocks[1]) <= limits_.ops) {
          at = unroll(block, at, *trips);
          continue;
        }
      }
      for (const auto& nested : op.blocks) this->block(*nested);
      ++at;
    }
  }

 private:
  using Position = std::list<std::unique_ptr<Operation>>::iterator;

  // Returns the first op that takes the place of the loop, or what follows it.
  Position unroll(Block& block, Position at, int64_t trips) {
    Operation& loop = **at;
    const Block& body = *loop.blocks[1];
    ir::Builder builder(block, catalog_, function_.opset);
    builder.insert_before(&loop);
    const bool first = at == block.ops.begin();
    const Position before = first ? at : std::prev(at);
    std::vector<Value*> variables;
    for (const Operand& operand : loop.find_input(kVariables)->operands) {
      variables.push_back(operand.value != nullptr
                              ? operand.value
                              : builder.constant(operand.literal, loop.name()));
    }
    ir::ValueMap constants;  // those of the body, which all trips share
    for (const auto& op : body.ops) {
      if (op->is_const()) clone_before(*op, block, at, constants, builder);
    }
    for (int64_t trip = 0; trip < trips; ++trip) {
      ir::ValueMap map = constants;
      for (size_t i = 0; i < variables.size(); ++i) map[body.arguments[i].get()] = variables[i];
      for (const auto& op : body.ops) {
        if (!op->is_const()) clone_before(*op, block, at, map, builder);
      }
      for (size_t i = 0; i < variables.size(); ++i) {
        const auto found = map.find(body.outputs[i]);
        variables[i] = found != map.end() ? found->second : body.outputs[i];
      }
    }
    ir::ValueMap results;
    for (size_t i = 0; i < variables.size(); ++i) results[loop.outputs[i].get()] = variables[i];
    substitute(function_, catalog_, results);
    const Position after = block.ops.erase(at);
    if (first) return block.ops.begin();
    return std::next(before) == after ? after : std::next(before);
  }

  void clone_before(const Operation& op, Block& block, Position at, ir::ValueMap& map,
                    ir::Builder& builder) {
    Operation* copy = ir::clone_into(op, block, map);
    block.ops.splice(at, block.ops, std::prev(block.ops.end()));
    if (ir::find_attribute(copy->attributes, "name")) {
      ir::set_attribute(copy->attributes, "name",
                        ir::Constant::string(builder.fresh(copy->name())));
    }
    std::vector<Type> types;
    if (!copy->is_const()) {
      const ir::OpView view(*copy, catalog_.at(*copy, function_.opset), function_.opset);
      types = view.def().infer()(view);
    }
    for (size_t i = 0; i < copy->outputs.size(); ++i) {
      Value& output = *copy->outputs[i];
      output.name = builder.fresh(output.name);
      if (i < types.size()) output.type = types[i];
    }
    everywhere_.follow(*copy);
  }

  ir::Function& function_;
  const ir::Catalog& catalog_;
  const UnrollLimits& limits_;
  Counter everywhere_;
};

}  // namespace

void unroll_loops(ir::Function& function, const ir::Catalog& catalog, const UnrollLimits& limits) {
  in_context([&] { return fmt::format("function '{}'", function.name); },
             [&] { Unroller(function, catalog, limits).block(function.body); });
}

}  // namespace mw::ops
