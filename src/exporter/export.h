// with_weights(): a package with other numbers in some of its constants, and nothing else changed.
#pragma once

#include <string>
#include <vector>

#include "adapters/set.h"
#include "exporter/sharing.h"
#include "package/package.h"
#include "train/parameter.h"

namespace mw::exporter {

struct TrainedWeight {
  const training::Parameter* parameter = nullptr;
  Tensor value;  // fp32 or fp64, rounded to the stored dtype, halves to even
};

struct Exported {
  package::Model model;
  // One sentence per parameter that its stored dtype cannot hold: overflow, or changes that vanish.
  std::vector<std::string> warnings;
};

// `model` is the one that the parameters were lifted from. Weights whose stored value is unchanged
// keep their constants. Where other functions have the same weights, these change, too.
Exported with_weights(const package::Model& model, const ir::Function& function,
                      const std::vector<TrainedWeight>& weights, Reach reach);

// Adds the adapters, if there are any, to their weights in the named function, and says so in the
// metadata. A compressed weight becomes a plain const of the dtype it stood for; all others stay as
// they are. Returns sentences as above, and on functions that keep a weight as it was.
std::vector<std::string> fuse(package::Model& model, const std::string& function,
                              const adapters::AdapterSet& set, Reach reach);

}  // namespace mw::exporter
