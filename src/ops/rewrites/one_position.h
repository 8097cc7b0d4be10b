// one_position(): of outputs that hold something for each position of a text the one that a run
// asks for. Ops that treat every position by itself are moved behind the choice.
//
//   h = layers(ids)       [1, T, D]         h = layers(ids)
//   n = layer_norm(h)                 =>    p = gather(h, position, axis = 1)   [1, 1, D]
//   logits = linear(n)    [1, T, V]         n = layer_norm(p)
//                                           logits = linear(n)                  [1, 1, V]
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ir/op_def.h"

namespace mw::ops {

// An output, and which of its axes counts the positions.
struct OutputAxis {
  std::string output;
  int64_t axis = 0;
};

struct OnePosition {
  std::unique_ptr<ir::Function> function;
  std::string position;  // its input that names the position, int32 [1]; empty: nothing is chosen
};

// A copy of `function` with the outputs `whole` as they are and `chosen` with an extent of 1 on
// their axes; other outputs are gone, and so is the use of what only they need, which dead code
// removal drops. States are written as before. `specialised`: the function for inputs of some
// shapes, with at least two positions; what moves behind the choice does so for all of them. An
// output that nothing can be moved for is computed as a whole, and then chosen from.
OnePosition one_position(const ir::Function& function,
                         const std::vector<std::unique_ptr<ir::Function>>& specialised,
                         const std::vector<std::string>& whole,
                         const std::vector<OutputAxis>& chosen, const ir::Catalog& catalog);

}  // namespace mw::ops
