// Specialisation, then the rewrites that take loops, lists and states out of the way.
#include "train/forward.h"

#include "base/error.h"
#include "ops/rewrites/promote_lists.h"
#include "ops/rewrites/promote_states.h"
#include "ops/rewrites/unroll.h"
#include "passes/specialise.h"

namespace mw::train {

std::unique_ptr<ir::Function> forward_at(const ir::Function& source, const ir::Catalog& catalog,
                                         const Shapes& shapes) {
  auto function = passes::specialise(source, catalog, {.shapes = shapes});
  bool needed = false;
  ir::for_each_op(function->body, [&](const ir::Operation& op) {
    const ir::OpDef& def = catalog.at(op, function->opset);
    needed = needed || def.has_trait(ir::kControlFlow | ir::kListOp | ir::kWritesState);
  });
  if (!needed) return function;
  ops::unroll_loops(*function, catalog);
  function = passes::specialise(*function, catalog, {});
  ops::promote_lists(*function, catalog);
  ops::promote_states(*function, catalog);
  return passes::specialise(*function, catalog, {});
}

ir::Value* output_named(const ir::Function& function, const std::string& name, const char* whose) {
  std::string names;
  for (ir::Value* output : function.body.outputs) {
    if (output->name == name) return output;
    names += (names.empty() ? "" : ", ") + output->name;
  }
  fail(ErrorCode::kInvalidArgument, "target '{}': expected an output of the {}: {}", name, whose,
       names);
}

}  // namespace mw::train
