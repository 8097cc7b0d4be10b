// Waiting: chains of ops without steps.
#include "plan/waiting.h"

#include <algorithm>

namespace mw::plan {

int Waiting::depth_behind(const ir::Operation& op) const {
  int depth = 0;
  for (const ir::Operand& operand : ir::operands(op)) {
    if (operand.value == nullptr) continue;
    if (const Op* behind = find(operand.value)) depth = std::max(depth, behind->depth + 1);
  }
  return depth;
}

}  // namespace mw::plan
