// remove_dead_ops(): one backward sweep per block with a set of live values.
#include "passes/dead_code.h"

#include <unordered_set>

namespace mw::passes {
namespace {

using Live = std::unordered_set<const ir::Value*>;

bool has_effect(const ir::Operation& op, const ir::Catalog& catalog, ir::Opset opset) {
  if (catalog.at(op, opset).has_trait(ir::kWritesState)) return true;
  bool effect = false;
  for (const auto& nested : op.blocks) {
    ir::for_each_op(*nested, [&](const ir::Operation& inner) {
      effect = effect || catalog.at(inner, opset).has_trait(ir::kWritesState);
    });
  }
  return effect;
}

void sweep(ir::Block& block, const ir::Catalog& catalog, ir::Opset opset, Live& live) {
  live.insert(block.outputs.begin(), block.outputs.end());
  for (auto it = block.ops.end(); it != block.ops.begin();) {
    --it;
    ir::Operation& op = **it;
    bool needed = false;
    for (const auto& output : op.outputs) needed = needed || live.contains(output.get());
    if (!needed && !has_effect(op, catalog, opset)) {
      it = block.ops.erase(it);
      continue;
    }
    for (const ir::Operand& operand : ir::operands(op)) live.insert(operand.value);
    for (const auto& nested : op.blocks) sweep(*nested, catalog, opset, live);
  }
}

}  // namespace

void remove_dead_ops(ir::Function& function, const ir::Catalog& catalog) {
  Live live;
  sweep(function.body, catalog, function.opset, live);
}

}  // namespace mw::passes
