// fuse_adapters(): the products of the factors added to the weights themselves.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "adapters/insert.h"

namespace mw::adapters {

// Of a weight with its adapter: in fp64, as the file's dtype holds it, and what was there before.
struct FusedWeight {
  std::string name;
  Tensor exact, stored, original;
  std::vector<std::string> functions;  // other functions that have it and get the sum, too
  std::vector<std::string> kept;       // sentences on those that have it and cannot
};

// Writes W + scale B A, brought to its magnitude where the adapter has one, in place of the named
// weights, in `function` and where one of the `others`, functions of the same program, has the same
// weight. A const that only sites use is changed in place. Otherwise the sites get a const of their
// own; a constexpr op that nothing uses any more is dropped. A weight whose sum rounds to what it
// was stays untouched. Each is told to `fused`.
void fuse_adapters(ir::Function& function, const std::vector<ir::Function*>& others,
                   const ir::Catalog& catalog, const std::vector<Adapter>& adapters,
                   const std::function<void(const FusedWeight&)>& fused);

}  // namespace mw::adapters
