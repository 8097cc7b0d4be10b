// run_naive(): an environment from values to data, and one evaluate() per op.
#include "exec/naive.h"

#include <algorithm>
#include <unordered_map>

#include "base/error.h"
#include "base/signals.h"

namespace mw::exec {
namespace {

class Interpreter : private ir::Facts, private ir::Runner {
 public:
  Interpreter(const ir::Function& function, const ir::Catalog& catalog, const NaiveOptions& options)
      : function_(function), catalog_(catalog), options_(options) {}

  std::map<std::string, ir::Datum> run(const TensorMap& inputs, const StateCells& states) {
    for (const auto& argument : function_.body.arguments) bind(*argument, inputs, states);
    block(function_.body);
    for (const ir::Value* output : function_.body.outputs) {
      results_[output->name] = values_.at(output);
    }
    return std::move(results_);
  }

 private:
  void bind(const ir::Value& argument, const TensorMap& inputs, const StateCells& states) {
    if (argument.type.is_state()) {
      const auto found = states.find(argument.name);
      if (found == states.end()) {
        fail(ErrorCode::kInvalidArgument, "state '{}': expected a state, got none", argument.name);
      }
      values_[&argument].state = found->second;
      return;
    }
    const auto found = inputs.find(argument.name);
    if (found == inputs.end()) {
      fail(ErrorCode::kInvalidArgument, "input '{}': expected a tensor, got none", argument.name);
    }
    const Tensor& tensor = found->second;
    if (!compatible(ir::Type::tensor(tensor.dtype(), tensor.shape()), argument.type)) {
      fail(ErrorCode::kInvalidArgument, "input '{}': expected {}, got {} {}", argument.name,
           argument.type.str(), name_of(tensor.dtype()), to_string(tensor.shape()));
    }
    values_[&argument].tensor = tensor;
  }

  void block(const ir::Block& block) {
    for (const auto& op : block.ops) {
      // A constant list has no tensor; what takes it reads it from the constant.
      if (op->is_const() && !op->outputs[0]->type.is_tensor()) {
        values_[op->outputs[0].get()] = {};
        continue;
      }
      SignalsHeld::deliver();
      const ir::OpDef& def = catalog_.at(*op, function_.opset);
      std::vector<ir::Datum> results = ir::evaluate(*op, def, function_.opset, *this, this);
      for (size_t i = 0; i < results.size() && i < op->outputs.size(); ++i) {
        keep_tap(*op->outputs[i], results[i]);
        values_[op->outputs[i].get()] = std::move(results[i]);
      }
    }
  }

  void keep_tap(const ir::Value& value, const ir::Datum& datum) {
    if (std::find(options_.taps.begin(), options_.taps.end(), value.name) != options_.taps.end()) {
      results_[value.name] = datum;
    }
  }

  ir::Type type_of(const ir::Operand& operand) const override {
    if (operand.value == nullptr) return Facts::type_of(operand);
    const ir::Datum& datum = values_.at(operand.value);
    if (datum.state) {
      return ir::Type::state(
          ir::Type::tensor(datum.state->value.dtype(), datum.state->value.shape()));
    }
    if (datum.list || datum.tensor.empty()) return operand.value->type;
    return ir::Type::tensor(datum.tensor.dtype(), datum.tensor.shape());
  }
  const Tensor* tensor_of(const ir::Operand& operand) const override {
    if (operand.value == nullptr) return Facts::tensor_of(operand);
    const ir::Datum& datum = values_.at(operand.value);
    return datum.list || datum.state || datum.tensor.empty() ? nullptr : &datum.tensor;
  }
  ir::Datum datum_of(const ir::Operand& operand) override {
    if (operand.value != nullptr) return values_.at(operand.value);
    if (!operand.literal->is_tensor()) {
      fail(ErrorCode::kUnsupported, "a literal {} cannot be an operand",
           operand.literal->type().str());
    }
    return {operand.literal->value(), nullptr, nullptr};
  }

  std::vector<ir::Datum> run_block(const ir::Block& nested,
                                   std::vector<ir::Datum> arguments) override {
    if (++entered_ > options_.block_limit) {
      fail(ErrorCode::kInvalidModel, "a loop ran more than {} times; the model does not end",
           options_.block_limit);
    }
    MW_CHECK(arguments.size() == nested.arguments.size());
    for (size_t i = 0; i < arguments.size(); ++i) {
      values_[nested.arguments[i].get()] = std::move(arguments[i]);
    }
    block(nested);
    std::vector<ir::Datum> outputs;
    outputs.reserve(nested.outputs.size());
    for (const ir::Value* output : nested.outputs) outputs.push_back(values_.at(output));
    return outputs;
  }

  const ir::Function& function_;
  const ir::Catalog& catalog_;
  const NaiveOptions& options_;
  std::unordered_map<const ir::Value*, ir::Datum> values_;
  std::map<std::string, ir::Datum> results_;
  int64_t entered_ = 0;
};

}  // namespace

std::map<std::string, ir::Datum> run_naive(const ir::Function& function, const ir::Catalog& catalog,
                                           const TensorMap& inputs, const StateCells& states,
                                           const NaiveOptions& options) {
  return in_context([&] { return fmt::format("function '{}'", function.name); },
                    [&] { return Interpreter(function, catalog, options).run(inputs, states); });
}

}  // namespace mw::exec
