// What a constant takes as it is stored, and how it is compressed.
#include "ops/weights/storage.h"

#include <fmt/format.h>

namespace mw::ops {
namespace {

using ir::Operation;
using ir::Value;

bool is_constexpr(const Operation& op) { return op.type.starts_with("constexpr_"); }

uint64_t bytes_of_type(const ir::Type& type) {
  if (!type.is_tensor() || !type.is_static()) return 0;
  return static_cast<uint64_t>(bytes_of(type.dtype(), count_of(type.shape())));
}

// Bytes of everything a constexpr op is made from. A chain shares no parts.
uint64_t bytes_behind(const Operation& op) {
  uint64_t bytes = 0;
  for (const auto& [name, constant] : op.attributes) {
    if (name != "name" && constant->is_tensor()) bytes += bytes_of_type(constant->type());
  }
  for (const auto& operand : ir::operands(op)) {
    if (operand.value != nullptr && operand.value->producer != nullptr &&
        is_constexpr(*operand.value->producer)) {
      if (operand.value->index == 0) bytes += bytes_behind(*operand.value->producer);
    } else if (const ir::ConstantPtr constant = ir::constant_of(operand)) {
      bytes += bytes_of_type(constant->type());
    }
  }
  return bytes;
}

// The constant given as input or, before ios18, as attribute; null when another op makes it.
ir::ConstantPtr part_of(const Operation& op, std::string_view name) {
  if (const ir::Input* input = op.find_input(name)) {
    return input->operands.empty() ? nullptr : ir::constant_of(input->operands[0]);
  }
  return ir::find_attribute(op.attributes, name);
}

std::string palette_name(const Operation& op) {
  const ir::ConstantPtr lut = part_of(op, "lut"), indices = part_of(op, "indices");
  int bits = 8;
  if (indices != nullptr && indices->type().dtype() != DType::kU8) {
    bits = bit_width(indices->type().dtype());
  } else if (lut != nullptr && lut->type().rank() > 0) {
    const Shape& shape = lut->type().shape();
    const int64_t entries = shape.size() == 1 ? shape[0] : shape[shape.size() - 2];
    bits = 0;
    while (bits < 8 && (int64_t{1} << bits) < entries) ++bits;
  }
  return fmt::format("{}-bit palette", bits);
}

std::string dtype_in(const Operation& op, std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    const ir::ConstantPtr part = part_of(op, name);
    if (part != nullptr && part->is_tensor()) return std::string(name_of(part->type().dtype()));
  }
  return "";
}

std::string scheme_of(const Operation& op) {
  std::string own = "cast";
  if (op.type == "constexpr_affine_dequantize") own = dtype_in(op, {"quantized_data"}) + " affine";
  if (op.type == "constexpr_blockwise_shift_scale") own = dtype_in(op, {"data"}) + " blockwise";
  if (op.type == "constexpr_sparse_blockwise_shift_scale") {
    own = dtype_in(op, {"nonzero_data"}) + " blockwise";
  }
  if (op.type.starts_with("constexpr_lut")) own = palette_name(op);
  if (op.type == "constexpr_sparse_to_dense") own = "sparse";
  std::string parts;
  for (const auto& operand : ir::operands(op)) {
    const Value* value = operand.value;
    if (value == nullptr || value->producer == nullptr || !is_constexpr(*value->producer)) {
      continue;
    }
    const std::string part = scheme_of(*value->producer);
    if (part != parts) parts += (parts.empty() ? "" : " + ") + part;
  }
  if (parts.empty()) return own;
  return own.starts_with(' ') ? parts : own + " + " + parts;
}

}  // namespace

uint64_t stored_bytes(const Value& value) {
  return is_constexpr(*value.producer) ? bytes_behind(*value.producer) : bytes_of_type(value.type);
}

std::string storage_of(const Value& value) {
  if (is_constexpr(*value.producer)) return scheme_of(*value.producer);
  return value.type.is_tensor() ? std::string(name_of(value.type.dtype())) : value.type.str();
}

}  // namespace mw::ops
