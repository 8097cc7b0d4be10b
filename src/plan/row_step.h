// row_step(): the step of a cluster: its program as the rules of its ops write it.
#pragma once

#include <vector>

#include "plan/row_cluster.h"
#include "plan/states.h"
#include "plan/values.h"

namespace mw::plan {

struct RowStep {
  Step step;
  std::vector<const ir::Value*>
      stored;  // results that something outside of it uses: they have places
};

// What the cluster uses from outside has been computed.
RowStep row_step(const BlockFacts& block, Values& values, const States& states,
                 const RowCluster& cluster);

}  // namespace mw::plan
