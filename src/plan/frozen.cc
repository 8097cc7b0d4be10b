// Frozen: values made of constants only. They are computed once, when a step asks for them.
#include "plan/frozen.h"

#include "base/error.h"
#include "ir/evaluate.h"

namespace mw::plan {
namespace {

constexpr uint32_t kNeverFrozen =
    ir::kRandom | ir::kReadsState | ir::kWritesState | ir::kControlFlow | ir::kListOp;
constexpr int kMaxDepth = 32;
constexpr int64_t kSmall = 4096;  // elements that count as known
constexpr int64_t kFreeBytes = int64_t{1}
                               << 20;  // a result this small is kept whatever its operands

int64_t bytes_of_type(const ir::Type& type) {
  return type.is_tensor() && type.is_static() ? bytes_of(type.dtype(), count_of(type.shape())) : 0;
}

}  // namespace

bool Frozen::note(const ir::Operation& op, const ir::OpDef& def) {
  if (op.is_const()) {
    depth_[op.outputs[0].get()] = 0;
    return true;
  }
  if (def.has_trait(kNeverFrozen) || !def.eval()) return false;
  int64_t result_bytes = 0;
  for (const auto& output : op.outputs) {
    if (!output->type.is_tensor() || !output->type.is_static()) return false;
    result_bytes += bytes_of_type(output->type);
  }
  int depth = 0;
  int64_t bytes = 0;
  for (const ir::Operand& operand : ir::operands(op)) {
    if (operand.literal != nullptr) continue;
    const auto found = depth_.find(operand.value);
    if (found == depth_.end()) return false;
    depth = std::max(depth, found->second + 1);
    bytes += bytes_of_type(operand.value->type);
  }
  // A large result of small constants is cheaper to make than to keep.
  const bool grows =
      !def.has_trait(ir::kConstexpr) && result_bytes > kFreeBytes && result_bytes / 4 > bytes;
  if (depth > kMaxDepth || grows) return false;
  for (const auto& output : op.outputs) depth_[output.get()] = depth;
  return true;
}

std::string Frozen::identity(const ir::Operand& operand,
                             std::vector<ir::ConstantPtr>& sources) const {
  if (const ir::ConstantPtr constant = ir::constant_of(operand)) {
    sources.push_back(constant);
    return fmt::format("@{}", fmt::ptr(constant.get()));
  }
  const ir::Operation& op = *operand.value->producer;
  std::string text = op.type + "(";
  for (const ir::Input& input : op.inputs) {
    text += input.name;
    for (const ir::Operand& nested : input.operands) {
      text += fmt::format("={}", identity(nested, sources));
    }
    text += ",";
  }
  for (const auto& [key, constant] : op.attributes) {
    if (key == "name") continue;
    sources.push_back(constant);
    text += fmt::format("{}=@{},", key, fmt::ptr(constant.get()));
  }
  return text + fmt::format("){}#{}", operand.value->type.str(), operand.value->index);
}

std::shared_ptr<const Tensor> Frozen::made(const ir::Value* value) const {
  std::vector<ir::ConstantPtr> sources;
  const std::string key = identity({const_cast<ir::Value*>(value), nullptr}, sources);
  return pool_.get<Tensor>(key, std::move(sources), [&] {
    class Operands : public ir::Facts {
     public:
      explicit Operands(const Frozen& frozen) : frozen_(frozen) {}
      [[nodiscard]] const Tensor* tensor_of(const ir::Operand& operand) const override {
        if (const Tensor* known = Facts::tensor_of(operand)) return known;
        return made_.emplace_back(frozen_.made(operand.value)).get();
      }

     private:
      const Frozen& frozen_;
      mutable std::vector<std::shared_ptr<const Tensor>> made_;
    };
    const ir::Operation& op = *value->producer;
    const Operands operands(*this);
    std::vector<ir::Datum> results =
        ir::evaluate(op, catalog_.at(op, opset_), opset_, operands, nullptr);
    auto tensor = std::make_shared<const Tensor>(std::move(results.at(value->index).tensor));
    const int64_t bytes = tensor->nbytes();
    return ConstantPool::Made{std::move(tensor), bytes};
  });
}

Tensor Frozen::tensor(const ir::Value* value, Plan& keep) {
  if (ir::ConstantPtr constant = ir::constant_of(value)) {
    keep.weights.push_back(constant);
    return constant->value();
  }
  std::shared_ptr<const Tensor> tensor = made(value);
  keep.keeps.push_back(tensor);
  return *tensor;
}

const Tensor* Frozen::tensor_of(const ir::Operand& operand) const {
  if (const Tensor* known = Facts::tensor_of(operand)) return known;
  if (operand.value == nullptr || !holds(operand.value)) return nullptr;
  const ir::Type& type = operand.value->type;
  if (!type.is_tensor() || !type.is_static() || count_of(type.shape()) > kSmall) return nullptr;
  std::shared_ptr<const Tensor>& tensor = small_[operand.value];
  if (tensor == nullptr) tensor = made(operand.value);
  return tensor.get();
}

}  // namespace mw::plan
