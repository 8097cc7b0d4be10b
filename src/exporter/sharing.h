// What a change of one function's weights does to the other functions of its package.
#pragma once

#include <string>
#include <vector>

#include "adapters/set.h"
#include "package/package.h"

namespace mw::exporter {

enum class Reach : uint8_t {
  kAllFunctions,  // what functions share stays shared
  kOneFunction,   // the function gets weights of its own
};

// Sentences: which functions change, and which of the shared weights one of them cannot change.
// Empty where the function shares nothing that is trained. `weights` are those of the function.
std::vector<std::string> notes_on_sharing(const package::Model& model, const ir::Function& function,
                                          const std::vector<const ir::Value*>& weights,
                                          Reach reach);

// The same for what an adapter stands beside.
std::vector<std::string> notes_on_sharing(const package::Model& model, const ir::Function& function,
                                          const adapters::AdapterSet& set, Reach reach);

}  // namespace mw::exporter
