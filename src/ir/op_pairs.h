// pair_ops(): which op of a clone is the copy of which op of its source.
#pragma once

#include <unordered_map>

#include "ir/program.h"

namespace mw::ir {

using OpPairs = std::unordered_map<const Operation*, Operation*>;

// `copy` is what clone() made of `source` and nothing has changed since: both have the same ops in
// the same order, nested blocks included.
OpPairs pair_ops(const Block& source, const Block& copy);

}  // namespace mw::ir
