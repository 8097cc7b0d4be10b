// How a constant is stored: in which form, and in how many bytes.
#pragma once

#include <cstdint>
#include <string>

#include "ir/program.h"

namespace mw::ops {

// Of a const, or of the last constexpr op of a chain.
// "fp16", "int8 affine", "4-bit palette", "sparse + 4-bit palette"
std::string storage_of(const ir::Value& value);
// As stored, scales and tables included.
uint64_t stored_bytes(const ir::Value& value);

}  // namespace mw::ops
