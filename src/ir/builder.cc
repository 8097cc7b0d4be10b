// Builder: appends operations, names their results and infers their types.
#include "ir/builder.h"

#include <algorithm>

#include "base/error.h"
#include "ir/op_view.h"

namespace mw::ir {

Argument::Argument(std::string_view name, const std::vector<Value*>& values) : name(name) {
  for (Value* value : values) operands.push_back({value, nullptr});
}

Builder::Builder(Block& block, const Catalog& catalog, Opset opset)
    : block_(&block),
      catalog_(&catalog),
      opset_(opset),
      position_(block.ops.end()),
      names_(block.function != nullptr ? block.function->body : block) {}

void Builder::insert_before(Operation* position) {
  position_ = std::find_if(block_->ops.begin(), block_->ops.end(),
                           [&](const auto& op) { return op.get() == position; });
  MW_CHECK(position_ != block_->ops.end());
}

Operation* Builder::append(std::string_view type) {
  auto op = std::make_unique<Operation>();
  op->type = type;
  op->parent = block_;
  return block_->ops.insert(position_, std::move(op))->get();
}

Value* Builder::constant(ConstantPtr value, std::string_view name) {
  Operation* op = append(kConstOp);
  const std::string unique = names_.fresh(name.empty() ? "const" : name);
  op->attributes = {{"name", Constant::string(unique)}, {"val", value}};
  return op->add_output(unique, value->type());
}

Operation* Builder::open(std::string_view type, const std::vector<Argument>& arguments,
                         std::string_view name) {
  Operation* op = append(type);
  for (const Argument& argument : arguments) {
    op->inputs.push_back({argument.name, argument.operands});
  }
  const std::string unique = names_.fresh(name.empty() ? type.substr(type.rfind('.') + 1) : name);
  op->attributes = {{"name", Constant::string(unique)}};
  return op;
}

std::vector<Value*> Builder::close(Operation* op) {
  const std::string unique = op->name();
  const OpView view(*op, catalog_->at(*op, opset_), opset_);
  const std::vector<Type> types = infer_results(view);
  std::vector<Value*> results;
  for (size_t i = 0; i < types.size(); ++i) {
    results.push_back(op->add_output(
        i == 0 ? unique : names_.fresh(fmt::format("{}_out{}", unique, i)), types[i]));
  }
  return results;
}

std::vector<Value*> Builder::op_results(std::string_view type,
                                        const std::vector<Argument>& arguments,
                                        std::string_view name) {
  return close(open(type, arguments, name));
}

Value* Builder::op(std::string_view type, const std::vector<Argument>& arguments,
                   std::string_view name) {
  const std::vector<Value*> results = op_results(type, arguments, name);
  MW_CHECK(!results.empty());
  return results[0];
}

ConstantPtr Builder::number_like(const Value* like, double value) {
  return Constant::number(like->type.dtype(), value);
}

}  // namespace mw::ir
