// The list of passes before lowering.
#include "plan/pipeline.h"

#include "plan/sink_casts.h"

namespace mw::plan {
namespace {

struct Preparation {
  const OpPlans& ops;
  std::vector<ir::Value*> casts = {};
};

void sink(ir::Function& function, Preparation& p) { p.casts = sink_casts(function, p.ops); }

constexpr passes::PassName kSinkCasts = {
    "sink_casts", "moves casts behind views, so that memory in a narrower dtype is read in place"};

constexpr passes::Pass<Preparation> kPlan[] = {
    {kSinkCasts, sink},
};

}  // namespace

std::vector<passes::Listing> pipelines() {
  return {{"plan", "a plan is made", passes::names_of<Preparation>(kPlan)}};
}

std::vector<ir::Value*> prepared(ir::Function& function, const Request& request) {
  Preparation context = {*request.platform.ops};
  passes::rewrite<Preparation>(kPlan, function, context,
                               {*request.platform.catalog, request.watch});
  return std::move(context.casts);
}

}  // namespace mw::plan
