// The ops that all calls share first, then those of each call.
#include "ops/rewrites/unroll_calls.h"

#include <algorithm>
#include <unordered_set>

#include "base/error.h"
#include "ir/builder.h"
#include "ir/op_view.h"
#include "ir/rename.h"

namespace mw::ops {
namespace {

using ir::Operation;
using ir::Type;
using ir::Value;
using Ints = std::vector<int64_t>;

class Unroller {
 public:
  Unroller(const ir::Function& source, const ir::Catalog& catalog, const TextOfCalls& text)
      : source_(source),
        catalog_(catalog),
        text_(text),
        made_(std::make_unique<ir::Function>()),
        b_(made_->body, catalog, source.opset) {
    made_->name = source.name;
    made_->opset = source.opset;
    made_->attributes = source.attributes;
    (void)b_.fresh(text.target);
    tokens_ = made_->body.add_argument(text.text, Type::tensor(DType::kI32, {1, time()}));
  }

  std::unique_ptr<ir::Function> run() {
    find_written();
    add_states();
    share();
    std::vector<Value*> rows;
    rows.reserve(text_.calls.size());
    for (const Call& call : text_.calls) rows.push_back(this->call(call));
    Value* whole = rows.size() == 1 ? rows[0] : b_.op("concat", {{"values", rows}, {"axis", 1}});
    whole->name = text_.target;
    made_->body.outputs = {whole};
    return std::move(made_);
  }

 private:
  [[nodiscard]] int64_t time() const { return text_.calls.back().begin + text_.calls.back().count; }
  [[nodiscard]] Value* argument(const std::string& name) const {
    Value* found = source_.find_argument(name);
    MW_CHECK(found != nullptr);
    return found;
  }

  void find_written() {
    for (const auto& op : source_.body.ops) {
      const ir::OpDef& def = catalog_.at(*op, source_.opset);
      if (def.has_trait(ir::kWritesState)) written_.insert(op->input("input"));
      for (const auto& block : op->blocks) {
        ir::for_each_op(*block, [&](const Operation& inner) {
          if (!catalog_.at(inner, source_.opset).has_trait(ir::kReadsState | ir::kWritesState)) {
            return;
          }
          fail(ErrorCode::kUnsupported,
               "{} '{}': reads or writes a state inside a block; a text that takes several calls "
               "cannot be trained on through it",
               op->type, op->name());
        });
      }
    }
  }

  void add_states() {
    for (const auto& argument : source_.body.arguments) {
      if (!argument->type.is_state()) continue;
      if (!written_.contains(argument.get())) {
        shared_[argument.get()] = made_->body.add_argument(argument->name, argument->type);
        continue;
      }
      const Type& element = argument->type.element();
      const DType dtype = is_float(element.dtype()) ? text_.floats : element.dtype();
      held_[argument.get()] =
          b_.constant(ir::Constant::tensor(Tensor(dtype, element.shape())), argument->name);
    }
  }

  [[nodiscard]] bool is_shared(const ir::Operand& operand) const {
    return operand.value == nullptr || shared_.contains(operand.value);
  }
  [[nodiscard]] bool is_shared(const Operation& op) const {
    if (!op.blocks.empty()) return false;
    const ir::OpDef& def = catalog_.at(op, source_.opset);
    if (def.has_trait(ir::kWritesState | ir::kRandom)) return false;
    return std::ranges::all_of(ir::operands(op),
                               [&](const ir::Operand& operand) { return is_shared(operand); });
  }

  void share() {
    for (const auto& op : source_.body.ops) {
      if (is_shared(*op)) {
        copy(*op, shared_);
      } else {
        of_calls_.push_back(op.get());
      }
    }
  }

  void cut_before(const Call& call) {
    if (text_.cut_every == 0) return;
    const int64_t stretch = call.begin / text_.cut_every;
    if (stretch == stretch_) return;
    stretch_ = stretch;
    for (auto& [state, held] : held_) cut(held);
    for (auto& [input, cache] : caches_) cut(cache);
  }
  void cut(Value*& value) {
    if (is_float(value->type.dtype())) value = b_.op("mw.stop_gradient", {{"x", value}});
  }

  Value* call(const Call& call) {
    cut_before(call);
    ir::ValueMap map = shared_;
    map[argument(text_.ids)] = ids_of(call);
    for (const auto& [name, tensor] : call.inputs) {
      map[argument(name)] = b_.constant(ir::Constant::tensor(tensor), name);
    }
    for (const auto& [input, output] : text_.caches) {
      const auto known = caches_.find(input);
      if (known != caches_.end()) map[argument(input)] = known->second;
    }
    for (const Operation* op : of_calls_) {
      const ir::OpDef& def = catalog_.at(*op, source_.opset);
      Value* state = op->input("input");
      if (def.has_trait(ir::kReadsState) && written_.contains(state)) {
        map[op->outputs[0].get()] = held_.at(state);
      } else if (def.has_trait(ir::kWritesState)) {
        held_[state] = in_dtype_of(held_.at(state), written_value(*op, map));
      } else {
        copy(*op, map);
      }
    }
    for (const auto& [input, output] : text_.caches) caches_[input] = result(output, map);
    return logits_of(call, map);
  }

  // Before it was made as narrow as the state.
  Value* written_value(const Operation& op, const ir::ValueMap& map) {
    const ir::Operand& data = op.find_input("data")->operands[0];
    if (data.value == nullptr) return b_.constant(data.literal, "written");
    const Operation* producer = data.value->producer;
    const bool narrowed = producer != nullptr && producer->type == ir::kCastOp &&
                          producer->input("x") != nullptr &&
                          producer->input("x")->type.dtype() == text_.floats;
    return map.at(narrowed ? producer->input("x") : data.value);
  }
  Value* in_dtype_of(const Value* held, Value* data) {
    const DType dtype = held->type.dtype();
    if (data->type.dtype() == dtype) return data;
    return b_.op(ir::kCastOp, {{"x", data}, {"dtype", std::string(name_of(dtype))}});
  }

  Value* ids_of(const Call& call) {
    const Type& type = argument(text_.ids)->type;
    Value* ids =
        b_.op("slice_by_size",
              {{"x", tokens_}, {"begin", Ints{0, call.begin}}, {"size", Ints{1, call.count}}});
    if (call.pads > 0) {
      Value* pads =
          b_.constant(ir::Constant::tensor(Tensor(DType::kI32, Shape{1, call.pads})), "pads");
      ids = b_.op("concat", {{"values", std::vector<Value*>{ids, pads}}, {"axis", 1}});
    }
    if (type.shape().size() == 1) ids = b_.op("squeeze", {{"x", ids}, {"axes", Ints{0}}});
    if (type.dtype() == DType::kI32) return ids;
    return b_.op(ir::kCastOp, {{"x", ids}, {"dtype", std::string(name_of(type.dtype()))}});
  }

  Value* result(const std::string& name, const ir::ValueMap& map) const {
    const auto found = std::ranges::find_if(
        source_.body.outputs, [&](const Value* value) { return value->name == name; });
    MW_CHECK(found != source_.body.outputs.end());
    return map.at(*found);
  }

  // [1, positions that are new, classes]
  Value* logits_of(const Call& call, const ir::ValueMap& map) {
    const int64_t positions = call.last_only ? 1 : call.count + call.pads;
    std::vector<Value*> parts;
    for (const CallOutput& output : text_.outputs) {
      Value* part = result(output.name, map);
      if (!output.order.empty()) part = b_.op("transpose", {{"x", part}, {"perm", output.order}});
      parts.push_back(
          b_.op("reshape", {{"x", part}, {"shape", Ints{1, positions, output.classes}}}));
    }
    Value* whole = parts.size() == 1 ? parts[0] : b_.op("concat", {{"values", parts}, {"axis", 2}});
    const int64_t first = call.last_only ? 0 : call.known;
    const int64_t count = call.last_only ? 1 : call.count - call.known;
    if (first == 0 && count == positions) return whole;
    return b_.op("slice_by_size",
                 {{"x", whole}, {"begin", Ints{0, first, 0}}, {"size", Ints{1, count, -1}}});
  }

  void copy(const Operation& op, ir::ValueMap& map) {
    Operation* made = ir::clone_into(op, made_->body, map);
    ir::rename(*made, [this](const std::string& name) { return b_.fresh(name); });
    if (made->is_const()) return;
    const ir::OpView view(*made, catalog_.at(*made, made_->opset), made_->opset);
    const std::vector<Type> types = view.def().infer()(view);
    for (size_t i = 0; i < types.size(); ++i) made->outputs[i]->type = types[i];
  }

  const ir::Function& source_;
  const ir::Catalog& catalog_;
  const TextOfCalls& text_;
  std::unique_ptr<ir::Function> made_;
  ir::Builder b_;
  Value* tokens_ = nullptr;
  std::unordered_set<const Value*> written_;  // states
  ir::ValueMap shared_, held_;                // held_: what these states hold
  std::map<std::string, Value*> caches_;
  std::vector<const Operation*> of_calls_;
  int64_t stretch_ = 0;  // of text_.cut_every tokens, that the last call began in
};

}  // namespace

std::unique_ptr<ir::Function> unroll_calls(const ir::Function& function, const ir::Catalog& catalog,
                                           const TextOfCalls& text) {
  MW_CHECK(!text.calls.empty());
  return in_context([&] { return fmt::format("function '{}'", function.name); },
                    [&] { return Unroller(function, catalog, text).run(); });
}

}  // namespace mw::ops
