// One pass forwards that keeps what each state holds.
#include "ops/rewrites/promote_states.h"

#include "ir/builder.h"
#include "ops/rewrites/substitute.h"

namespace mw::ops {
namespace {

using ir::Operation;
using ir::Value;

bool writes_inside(const Operation& op, const ir::Catalog& catalog, ir::Opset opset) {
  bool writes = false;
  for (const auto& nested : op.blocks) {
    ir::for_each_op(*nested, [&](const Operation& inner) {
      writes = writes || catalog.at(inner, opset).has_trait(ir::kWritesState);
    });
  }
  return writes;
}

}  // namespace

void promote_states(ir::Function& function, const ir::Catalog& catalog) {
  ir::ValueMap held, replaced;
  for (const auto& op : function.body.ops) {
    const ir::OpDef& def = catalog.at(*op, function.opset);
    if (writes_inside(*op, catalog, function.opset)) held.clear();
    Value* state = op->input("input");
    if (def.has_trait(ir::kReadsState) && op->outputs.size() == 1) {
      Value* result = op->outputs[0].get();
      const auto [found, first] = held.try_emplace(state, result);
      if (first) continue;
      Value* value = found->second;
      if (value->type.dtype() != result->type.dtype()) {
        ir::Builder builder(function.body, catalog, function.opset);
        builder.insert_before(op.get());
        value = builder.op(ir::kCastOp,
                           {{"x", value}, {"dtype", std::string(name_of(result->type.dtype()))}});
      }
      replaced[result] = value;
    } else if (def.has_trait(ir::kWritesState)) {
      Value* data = op->input("data");
      const auto found = replaced.find(data);
      held.erase(state);
      if (data != nullptr) held[state] = found != replaced.end() ? found->second : data;
    }
  }
  substitute(function, catalog, replaced);
}

}  // namespace mw::ops
