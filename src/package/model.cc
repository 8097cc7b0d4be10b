// Model: lookups over its descriptions and constants.
#include <set>
#include <utility>

#include "base/error.h"
#include "package/package.h"

namespace mw::package {
namespace {

using Seen = std::set<std::pair<const void*, int64_t>>;

uint64_t bytes_in(const ir::ConstantPtr& constant, Seen& seen) {
  if (!constant || !constant->is_tensor() || constant->value().dtype() == DType::kString) return 0;
  const Tensor& tensor = constant->value();
  return seen.emplace(tensor.raw(), tensor.nbytes()).second ? static_cast<uint64_t>(tensor.nbytes())
                                                            : 0;
}

}  // namespace

Model Model::clone() const {
  Model copy;
  static_cast<ModelFacts&>(copy) = static_cast<const ModelFacts&>(*this);
  copy.program = ir::clone(*program);
  copy.parts = parts;
  return copy;
}

const FunctionDescription* Model::find_function(std::string_view name) const {
  for (const FunctionDescription& function : functions) {
    if (function.name == name) return &function;
  }
  return nullptr;
}

const FunctionDescription& Model::default_description() const {
  const FunctionDescription* found = find_function(default_function);
  MW_CHECK(found != nullptr);
  return *found;
}

uint64_t Model::weight_bytes() const {
  uint64_t bytes = 0;
  Seen seen;
  for (const auto& function : program->functions) {
    ir::for_each_op(function->body, [&](const ir::Operation& op) {
      for (const auto& [name, value] : op.attributes) bytes += bytes_in(value, seen);
      for (const ir::Operand& operand : ir::operands(op)) bytes += bytes_in(operand.literal, seen);
    });
  }
  return bytes;
}

}  // namespace mw::package
