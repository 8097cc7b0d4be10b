// unroll_loops(): replaces loops whose number of trips follows from constants by their trips.
//
//   i, y = while_loop(0, x) {i < 2} {i + 1, f(y)}      =>      y = f(f(x))
#pragma once

#include "ir/op_def.h"

namespace mw::ops {

struct UnrollLimits {
  int64_t trips = 4096;  // of one loop
  int64_t ops = 100000;  // that one loop becomes
};

// Nested loops included. A loop whose condition depends on more than constants, or that passes a
// limit, stays. Types are inferred anew; names of results that the function returns are kept.
void unroll_loops(ir::Function& function, const ir::Catalog& catalog,
                  const UnrollLimits& limits = {});

}  // namespace mw::ops
