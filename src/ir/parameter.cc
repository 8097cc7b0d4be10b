// What ties constants, and their names.
#include "ir/parameter.h"

namespace mw::ir {

bool is_one_number(const Tensor& tensor) {
  for (int64_t i = 1; i < tensor.count(); ++i) {
    if (tensor.number_at(i) != tensor.number_at(0)) return false;
  }
  return true;
}

std::optional<BlobRef> tie_of(const Value& value) {
  const ConstantPtr constant = constant_of(&value);
  if (constant == nullptr || !constant->blob_ref()) return std::nullopt;
  const bool numbers =
      constant->is_tensor() && constant->has_value() && constant->type().dtype() != DType::kString;
  return numbers && is_one_number(constant->value()) ? std::nullopt : constant->blob_ref();
}

std::map<std::string, Value*> constants_by_name(const Function& function) {
  std::map<std::string, Value*> constants;
  for_each_op(function.body, [&](const Operation& op) {
    if (!op.is_const()) return;
    for (const auto& output : op.outputs) constants.emplace(output->name, output.get());
  });
  return constants;
}

}  // namespace mw::ir
