// Parameter: what is trained, from its choice over its state to the file it is written to.
#pragma once

#include <string>
#include <vector>

#include "ir/parameter.h"

namespace mw::training {

struct Parameter {
  std::string name;  // of the first of its consts; with a suffix where a const was split
  // The consts that show it, or the one use of a const that it is for; several are tied. They are
  // those of the model's file, unless this is the factor of an adapter.
  std::vector<ir::ParameterId> places;
  bool is_factor = false;  // of an adapter; never split, whatever its numbers are
  // Another const of the numbers it begins with: it follows them, and no gradient comes from there.
  std::string still = "";

  // Known once it is lifted.
  std::string state;  // the argument that holds it
  Shape shape;
  DType stored = DType::kF32;
};

}  // namespace mw::training
