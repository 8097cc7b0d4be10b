// assign_registers(): where a row program keeps the values of a tile.
#pragma once

#include <cstdint>
#include <vector>

#include "plan/row.h"

namespace mw::cpu {

struct RowRegisters {
  std::vector<int64_t> offset;  // by value, in floats; -1: none
  std::vector<int> output;      // by value: the output in whose memory it is computed; -1: none
  int64_t floats = 0;           // of all
};

// Whether elements lie in memory as lanes do.
inline bool is_word(DType dtype) { return dtype == DType::kF32 || dtype == DType::kI32; }

// `full` and `per_row`: floats of a register of each form. Constants have none, nor have inputs
// that are read where they lie.
RowRegisters assign_registers(const plan::RowProgram& program, int64_t full, int64_t per_row);

}  // namespace mw::cpu
