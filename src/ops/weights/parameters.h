// parameters_of(): which constants of a function can be trained, and why each is in or out, told
// from what their operations declare of their inputs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ir/op_def.h"

namespace mw::ops {

struct ParameterInfo {
  const ir::Operation* op = nullptr;  // the const, or the last constexpr op of a chain
  const ir::Value* value = nullptr;   // what the model computes with
  std::string name;                   // of the value
  bool trainable = false;             // in the default set
  bool selectable = false;            // out by default, but an explicit name takes it in
  std::string reason;                 // "weight of conv", "only reached through slices", ...
  std::string storage;  // "fp16", "int8 affine", "4-bit palette", "sparse + 4-bit palette"
  bool compressed = false;
  uint64_t bytes = 0;  // as stored, scales and tables included
  size_t uses = 0;
};

// One entry per constant that data flows from, in the order of the program, nested blocks included.
// Settings (constants that only say how an op works, such as axes) and the parts of compressed
// weights have no entries of their own.
//
// In are float constants that reach an input of kind kWeight (weight, bias, gamma, ...) directly or
// through ops that move elements; tables that what the model is given picks rows of; elementwise
// scales with one extent and elementwise biases; and what is put beside computed values and has one
// extent, as a class token. Out are constants reached through slices only, all-zero biases
// (converters add them), single numbers, tables of factors, masks and compressed weights.
std::vector<ParameterInfo> parameters_of(const ir::Function& function, const ir::Catalog& catalog);

}  // namespace mw::ops
