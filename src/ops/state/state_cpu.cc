// Rules of the state ops: the planner keeps states in memory of their own.
#include "ops/kernels_cpu.h"

namespace mw::ops {

void add_state_rules(RuleTable& table) {
  for (const char* read : {"read_state", "mw.read_state"}) table[read].reads = "input";
  for (const char* write : {"write_state", "mw.write_state"}) {
    table[write].writes = "input";
    table[write].data = "data";
  }
}

}  // namespace mw::ops
