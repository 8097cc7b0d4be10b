// What a model says of its inputs, outputs and states.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "millwright/tensor.hpp"

namespace mw {

// One input, output or state as the model declares it.
struct FeatureDescription {
  std::string name;
  std::string kind;  // "MultiArray", "Image", "String", "Int64", "Double", "Dictionary", "State"
  DType dtype = DType::kF32;
  Shape shape;  // default or fixed shape; -1 for an extent the file does not state
  std::vector<std::pair<int64_t, int64_t>> ranges;  // per axis, when flexible; upper -1: unbounded
  std::vector<Shape> enumerated;                    // the allowed shapes, when enumerated
  bool optional = false;
  std::string description;
};

}  // namespace mw
