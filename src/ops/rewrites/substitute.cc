// Operands first, then what the function returns, whose names are part of its interface.
#include "ops/rewrites/substitute.h"

#include "ir/builder.h"

namespace mw::ops {
namespace {

void in_block(ir::Block& block, const ir::ValueMap& map) {
  const auto replace = [&](ir::Value*& value) {
    if (const auto found = map.find(value); found != map.end()) value = found->second;
  };
  for (const auto& op : block.ops) {
    for (ir::Operand& operand : ir::operands(*op)) {
      if (operand.value != nullptr) replace(operand.value);
    }
    for (const auto& nested : op->blocks) {
      in_block(*nested, map);
      for (ir::Value*& output : nested->outputs) replace(output);
    }
  }
}

}  // namespace

void substitute(ir::Function& function, const ir::Catalog& catalog, const ir::ValueMap& map) {
  if (map.empty()) return;
  in_block(function.body, map);
  ir::Builder builder(function.body, catalog, function.opset);
  for (ir::Value*& output : function.body.outputs) {
    const auto found = map.find(output);
    if (found == map.end()) continue;
    ir::Value* value = found->second;
    if (value->type.is_tensor()) {
      value = builder.op("identity", {{"x", value}});
      std::swap(value->name, output->name);
    }
    output = value;
  }
}

}  // namespace mw::ops
