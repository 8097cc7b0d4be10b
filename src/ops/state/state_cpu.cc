// Rules of the state ops: the planner keeps states in memory of their own.
#include "ops/kernels_cpu.h"

namespace mw::ops {

void add_state_rules(RuleTable& table) {
  table["read_state"].reads = "input";
  table["write_state"].writes = "input";
  table["write_state"].data = "data";
}

}  // namespace mw::ops
