// What there is to train in a model, and why each is in or out.
#pragma once

#include <cstdint>
#include <string>

#include "millwright/tensor.hpp"

namespace mw {

struct Parameter {
  enum class Role : uint8_t {
    kWeight,
    kCompressed,  // a weight that is stored as something smaller
    kTie,         // another name of a weight that stands before
    kAdapter,     // a factor beside a weight
  };
  std::string name;  // as in the program
  Shape shape;
  DType stored = DType::kF32;  // in the package
  bool trained = false;
  std::string reason;  // why it is in or out
  Role role = Role::kWeight;
};

}  // namespace mw
