// The list of passes by which a function gets adapters beside its weights.
#pragma once

#include <memory>
#include <vector>

#include "adapters/insert.h"
#include "passes/pipeline.h"

namespace mw::adapters {

std::vector<passes::Listing> pipelines();

struct Adapted {
  std::unique_ptr<ir::Function> function;
  std::vector<InsertedAdapter> made;
};
// `function`, of a file, stays as it is.
Adapted adapted_by(const ir::Function& function, const std::vector<Adapter>& adapters, Inserted how,
                   const passes::Supervision& supervision);

}  // namespace mw::adapters
