// Activity: which values of a block depend on the values to differentiate by, and which matter for
// what is differentiated.
#pragma once

#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "ir/op_def.h"

namespace mw::autodiff {

// Float tensors carry gradients.
bool carries_gradient(const ir::Type& type);

// The values an op reads: its operands, and what its nested blocks read from outside them.
std::vector<ir::Value*> values_read_by(const ir::Operation& op);

class Activity {
 public:
  // `ends`: values of the block that are differentiated.
  Activity(const ir::Block& block, const std::vector<ir::Value*>& wrt,
           const std::vector<ir::Value*>& ends);

  // On a path of float values from `wrt` to `ends`.
  [[nodiscard]] bool active(const ir::Value* value) const {
    return varied_.contains(value) && needed_.contains(value);
  }
  [[nodiscard]] bool varied(const ir::Value* value) const { return varied_.contains(value); }

 private:
  std::unordered_set<const ir::Value*> varied_, needed_;
};

// Whether one of `ends` depends on `value` by any path, integers included.
bool reaches(const ir::Block& block, const ir::Value* value, const std::vector<ir::Value*>& ends);

}  // namespace mw::autodiff
