// Casts that widen: a change of precision puts them behind what is stored narrower than it is
// computed, and those who can read it as it is stored look behind them.
#pragma once

#include "ir/program.h"

namespace mw::ir {

// The fp16 or bf16 operand that a cast makes `operand`, of fp32, out of; null: none does.
inline const Operand* before_widening(const Operand& operand) {
  const Operation* op = operand.value != nullptr ? operand.value->producer : nullptr;
  const bool is_cast = op != nullptr && op->type == kCastOp && operand.value->type.is_tensor() &&
                       operand.value->type.dtype() == DType::kF32;
  const Input* x = is_cast ? op->find_input("x") : nullptr;
  if (x == nullptr || x->operands.size() != 1) return nullptr;
  const Value* source = x->operands[0].value;
  if (source == nullptr || !source->type.is_tensor()) return nullptr;
  const DType dtype = source->type.dtype();
  return dtype == DType::kF16 || dtype == DType::kBF16 ? &x->operands[0] : nullptr;
}

// The same where it is of that dtype.
inline const Operand* before_widening(const Operand& operand, DType dtype) {
  const Operand* narrow = before_widening(operand);
  return narrow != nullptr && narrow->value->type.dtype() == dtype ? narrow : nullptr;
}

}  // namespace mw::ir
