// One pass forwards that keeps, for each list value, the values of its elements.
#include "ops/rewrites/promote_lists.h"

#include <algorithm>
#include <optional>

#include "ir/builder.h"
#include "ops/rewrites/substitute.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

using ir::Block;
using ir::Operation;
using ir::Type;
using ir::Value;

constexpr int64_t kLongest = 65536;

using Elements = std::vector<Value*>;  // null: not written

class Promoter {
 public:
  Promoter(ir::Function& function, const ir::Catalog& catalog)
      : function_(function), catalog_(catalog) {}

  void run() {
    block(function_.body);
    substitute(function_, catalog_, replaced_);
  }

 private:
  void block(Block& block) {
    for (auto at = block.ops.begin(); at != block.ops.end(); ++at) {
      Operation& op = **at;
      for (const auto& nested : op.blocks) this->block(*nested);
      if (!catalog_.at(op, function_.opset).has_trait(ir::kListOp)) continue;
      if (op.type == "make_list") {
        make(op);
      } else if (const auto found = lists_.find(op.input("ls")); found != lists_.end()) {
        const Elements elements = found->second;
        ir::Builder builder(block, catalog_, function_.opset);
        builder.insert_before(&op);
        use(op, elements, builder);
      }
    }
  }

  static std::optional<std::vector<int64_t>> known(const Operation& op, std::string_view input) {
    const ir::Input* found = op.find_input(input);
    if (found == nullptr || found->operands.size() != 1) return std::nullopt;
    const ir::ConstantPtr constant = ir::constant_of(found->operands[0]);
    if (!constant || !constant->is_tensor() || !constant->has_value()) return std::nullopt;
    std::vector<int64_t> values = integers_of(constant->value());
    const bool fits = std::all_of(values.begin(), values.end(),
                                  [](int64_t value) { return value >= 0 && value < kLongest; });
    return fits ? std::optional(std::move(values)) : std::nullopt;
  }

  void make(const Operation& op) {
    const bool given = op.find_input("init_length") != nullptr;
    const auto length = known(op, "init_length");
    if (given && (!length || length->size() != 1)) return;
    lists_[op.outputs[0].get()] = Elements(given ? static_cast<size_t>((*length)[0]) : 1, nullptr);
  }

  void use(Operation& op, Elements elements, ir::Builder& builder) {
    Value* result = op.outputs[0].get();
    if (op.type == "list_length") {
      const auto length = static_cast<int32_t>(elements.size());
      replaced_[result] = builder.constant(ir::Constant::int32(length), result->name);
    } else if (op.type == "list_write") {
      const auto index = known(op, "index");
      Value* value = written(op, builder);
      if (!index || index->size() != 1) return;
      put(elements, (*index)[0], value);
      lists_[result] = std::move(elements);
    } else if (op.type == "list_scatter") {
      scatter(op, std::move(elements), builder);
    } else if (op.type == "list_read") {
      const auto index = known(op, "index");
      if (!index || index->size() != 1) return;
      if (Value* value = element(op, elements, (*index)[0], builder)) replaced_[result] = value;
    } else if (op.type == "list_gather") {
      gather_elements(op, elements, builder);
    }
  }

  // What the op writes, as it is after the substitutions so far.
  Value* written(const Operation& op, ir::Builder& builder) {
    const ir::Operand& operand = op.find_input("value")->operands.at(0);
    if (operand.value == nullptr) return builder.constant(operand.literal);
    const auto found = replaced_.find(operand.value);
    return found != replaced_.end() ? found->second : operand.value;
  }

  static void put(Elements& elements, int64_t index, Value* value) {
    const auto at = static_cast<size_t>(index);
    if (at >= elements.size()) elements.resize(at + 1, nullptr);
    elements[at] = value;
  }

  void scatter(const Operation& op, Elements elements, ir::Builder& builder) {
    const auto indices = known(op, "indices");
    Value* value = written(op, builder);
    if (!indices || !value->type.is_static()) return;
    const Shape whole = value->type.shape();
    for (size_t i = 0; i < indices->size(); ++i) {
      std::vector<int64_t> begin(whole.size(), 0);
      begin[0] = static_cast<int64_t>(i);
      Shape size = whole;
      size[0] = 1;
      Value* row = builder.op("slice_by_size", {{"x", value}, {"begin", begin}, {"size", size}});
      row = builder.op("squeeze", {{"x", row}, {"axes", std::vector<int64_t>{0}}});
      put(elements, (*indices)[i], row);
    }
    lists_[op.outputs[0].get()] = std::move(elements);
  }

  // Null where the element cannot be told. One that was never written holds zeros.
  Value* element(const Operation& op, const Elements& elements, int64_t index,
                 ir::Builder& builder) const {
    if (index >= static_cast<int64_t>(elements.size())) return nullptr;
    if (Value* value = elements[static_cast<size_t>(index)]) return value;
    const Type type = op.input("ls")->type.element();
    if (!type.is_static()) return nullptr;
    const ir::ConstantPtr zero = type.dtype() == DType::kBool
                                     ? ir::Constant::boolean(false)
                                     : ir::Constant::number(type.dtype(), 0);
    if (type.rank() == 0) return builder.constant(zero);
    return builder.op("fill", {{"shape", type.shape()}, {"value", zero}});
  }

  void gather_elements(const Operation& op, const Elements& elements, ir::Builder& builder) {
    const auto indices = known(op, "indices");
    if (!indices || indices->empty()) return;
    std::vector<Value*> chosen;
    for (const int64_t index : *indices) {
      chosen.push_back(element(op, elements, index, builder));
      if (chosen.back() == nullptr || chosen.back()->type != chosen.front()->type) return;
    }
    replaced_[op.outputs[0].get()] = builder.op("stack", {{"values", chosen}, {"axis", 0}});
  }

  ir::Function& function_;
  const ir::Catalog& catalog_;
  std::unordered_map<const Value*, Elements> lists_;
  ir::ValueMap replaced_;
};

}  // namespace

void promote_lists(ir::Function& function, const ir::Catalog& catalog) {
  Promoter(function, catalog).run();
}

}  // namespace mw::ops
