// Plans of the state ops: the planner keeps states in memory of their own.
#include "ops/catalog_plan.h"

namespace mw::ops {

void add_state_plans(plan::OpPlans& plans) {
  for (const char* read : {"read_state", "mw.read_state"}) {
    plans[read].form = plan::ReadsState{"input"};
  }
  for (const char* write : {"write_state", "mw.write_state"}) {
    plans[write].form = plan::WritesState{"input", "data"};
  }
}

}  // namespace mw::ops
