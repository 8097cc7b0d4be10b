// From the last op to the first: one is live where a live one reads it, or it has an effect.
#include "ops/rewrites/live_uses.h"

#include <algorithm>

namespace mw::ops {

using ir::Use;
using ir::Value;

LiveUses::LiveUses(const ir::Function& function, const ir::Catalog& catalog)
    : uses_(ir::uses_in(function.body)) {
  for (auto op = function.body.ops.rbegin(); op != function.body.ops.rend(); ++op) {
    note(**op, catalog.at(**op, function.opset));
  }
}

void LiveUses::note(const ir::Operation& op, const ir::OpDef& def) {
  const bool used = std::ranges::any_of(op.outputs, [&](const auto& output) {
    return std::ranges::any_of(uses(output.get()), [&](const Use& use) { return is_live(use); });
  });
  if (!used && op.blocks.empty() && !def.has_trait(ir::kWritesState)) return;
  live_.insert(&op);
  for (const auto& block : op.blocks) {
    for_each_op(*block, [&](const ir::Operation& inner) { live_.insert(&inner); });
  }
}

const std::vector<Use>& LiveUses::uses(const Value* value) const {
  static const std::vector<Use> kNone;
  const auto found = uses_.find(value);
  return found != uses_.end() ? found->second : kNone;
}

bool LiveUses::has_one(const Value* value) const {
  return std::ranges::count_if(uses(value), [&](const Use& use) { return is_live(use); }) == 1;
}

bool LiveUses::are_of(const Value* value, const std::vector<const ir::Operation*>& ops) const {
  return std::ranges::all_of(uses(value), [&](const Use& use) {
    return !is_live(use) || std::ranges::find(ops, use.op) != ops.end();
  });
}

}  // namespace mw::ops
