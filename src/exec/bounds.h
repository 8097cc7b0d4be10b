// bound_of(): the shapes that a memory layout is made for, so that it serves smaller ones, too.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "ir/type.h"

namespace mw::exec {

struct Bounding {
  // Of the function; their unknown extents are open.
  const std::vector<std::pair<std::string, ir::Type>>& inputs;
  const Shapes& largest;  // that an input may have, by name; no bound for those not named
  bool together = false;
};

// Each open extent rounded up to a power of two by itself; or, `together`, where extents depend on
// each other as those of a mask do on those of a cache, the largest one rounded up and as much
// added to the others that are more than 1.
Shapes bound_of(const Shapes& shapes, const Bounding& by);

}  // namespace mw::exec
