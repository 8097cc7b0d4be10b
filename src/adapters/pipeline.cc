// The pass that inserts adapters.
#include "adapters/pipeline.h"

namespace mw::adapters {
namespace {

struct Adaption {
  const ir::Catalog& catalog;
  const std::vector<Adapter>& adapters;
  Inserted how;
  std::vector<InsertedAdapter> made = {};
};

void insert(ir::Function& function, Adaption& a) {
  a.made = insert_adapters(function, a.catalog, a.adapters, a.how);
}

constexpr passes::PassName kAdapters = {
    "adapters", "puts the product of an adapter's factors beside each weight that it is for"};

constexpr passes::Pass<Adaption> kAdapt[] = {
    {kAdapters, insert},
};

}  // namespace

std::vector<passes::Listing> pipelines() {
  return {{"adapt", "a model is opened with an adapter, or trained by one",
           passes::names_of<Adaption>(kAdapt)}};
}

Adapted adapted_by(const ir::Function& function, const std::vector<Adapter>& adapters, Inserted how,
                   const passes::Supervision& supervision) {
  Adaption context = {supervision.catalog, adapters, how};
  auto made = passes::run<Adaption>(kAdapt, function, context, supervision);
  return {std::move(made), std::move(context.made)};
}

}  // namespace mw::adapters
