// AdjustableFunction: a function at concrete input shapes that moves to other shapes in place, as
// long as nothing but extents and constants changes.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ir/program.h"

namespace mw::ir {

// Not thread-safe.
class AdjustableFunction {
 public:
  virtual ~AdjustableFunction() = default;

  // What the function is at the current shapes. Passes that neither look at extents nor at
  // constants, and that keep the values there are or leave them unused, may rewrite it once.
  [[nodiscard]] virtual const std::shared_ptr<Function>& function() const = 0;

  // Moves to other input shapes. Appends the values of the function whose extents or constant
  // changed. False: the function for those shapes is another one, and this object is of no more
  // use.
  virtual bool adjust(const Shapes& shapes, std::vector<const Value*>& changed) = 0;
};

// Null: that function cannot be adjusted.
using Adjustables = std::function<std::unique_ptr<AdjustableFunction>(const Shapes&)>;

}  // namespace mw::ir
