// specialise(): a copy of a function for concrete input shapes, its shape arithmetic folded away.
//
//   x: tensor<fp32, [?, ?]>                  x: tensor<fp32, [2, 7]>
//   s = shape(x)                      =>     y = reshape(x, shape = [14])
//   n = gather(s, 0) * gather(s, 1)
//   y = reshape(x, shape = concat(n))
#pragma once

#include <map>
#include <memory>
#include <string>

#include "ir/adjustable.h"
#include "passes/pipeline.h"

namespace mw::passes {

inline constexpr PassName kSpecialise = {
    "specialise",
    "gives every value its shape, and evaluates what follows from shapes and constants"};

struct SpecialiseOptions {
  // Extents of tensor inputs by name; an input not named keeps its declared type.
  Shapes shapes;
  // An op with known operands is evaluated when its results have at most this many elements in all.
  // Larger ones are for the planner, which does so once for all shapes and reads weights as stored.
  int64_t fold_limit = 1 << 12;
  // Results of all folded ops together, but for those of a few elements, which shapes are made of.
  int64_t total_fold_limit = 1 << 25;
};

// Every value's type is as concrete as inference can make it; constants that nothing uses, ops
// whose results nothing uses, and the branch of a `cond` that is not taken are gone. Random,
// stateful and constexpr ops are never folded. Value names are kept. Throws when a shape
// contradicts a declared type.
std::unique_ptr<ir::Function> specialise(const ir::Function& function, const ir::Catalog& catalog,
                                         const SpecialiseOptions& options);

// The same as a function that can be moved to other extents: only what depends on them is inferred
// and evaluated again. Null when the function has nested blocks. The source and the catalog outlive
// it.
std::unique_ptr<ir::AdjustableFunction> specialise_adjustable(const ir::Function& function,
                                                              const ir::Catalog& catalog,
                                                              const SpecialiseOptions& options);

}  // namespace mw::passes
