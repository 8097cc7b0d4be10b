// number_in(): settings of operations read where nothing has been verified yet.
#pragma once

#include <optional>
#include <string_view>

#include "ir/program.h"

namespace mw::ops {

// The number that an input is, where it is a constant of one.
inline std::optional<int64_t> number_in(const ir::Operation& op, std::string_view input) {
  const ir::Input* found = op.find_input(input);
  if (found == nullptr || found->operands.size() != 1) return std::nullopt;
  const ir::ConstantPtr constant = ir::constant_of(found->operands[0]);
  const bool is_number = constant != nullptr && constant->is_tensor() && constant->has_value() &&
                         constant->type().dtype() != DType::kString;
  if (!is_number || constant->value().count() != 1) return std::nullopt;
  return constant->value().integer_at(0);
}

inline bool says(const ir::Operation& op, std::string_view input) {
  return number_in(op, input).value_or(0) != 0;
}

}  // namespace mw::ops
