// recompute(): makes a program of training need less memory by computing values of the forward pass
// again where the backward pass reads them.
//
//   h = linear(x, w)                         h = linear(x, w)
//   y = gelu(h)                              y = gelu(h)
//   ...                                      ...
//   h_grad = ... h ...              =>       h_again = linear(x, w)
//                                            h_grad = ... h_again ...
//
// Chosen from types and the need of candidates alone, so the same choice is made every time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "autodiff/step_graph.h"

namespace mw::autodiff {

struct Recomputed {
  std::unique_ptr<ir::Function> function;  // null: nothing that was tried fits
  int64_t need = 0;                        // of the function; without one the least that was found
  double work = 0;                         // of what is computed again, as the hints have it
};

// The cheapest change found with which `need` (bytes) is at most `budget`, for a function that
// needs more. `ends`: the results of the forward pass (the loss). `need` is asked about a dozen or
// two candidates.
Recomputed recompute(const ir::Function& function, const ir::Catalog& catalog,
                     const std::vector<const ir::Value*>& ends, const RecomputeHints& hints,
                     int64_t budget, const std::function<int64_t(const ir::Function&)>& need);

}  // namespace mw::autodiff
