// expand_ops(): each expansion stands before the op it replaces.
#include "passes/expand.h"

#include "base/error.h"
#include "ir/builder.h"
#include "ir/op_view.h"

namespace mw::passes {

void expand_ops(ir::Function& function, const ir::Catalog& catalog,
                const std::function<bool(const ir::Operation&)>& keep) {
  ir::Block& body = function.body;
  ir::Builder b(body, catalog, function.opset);
  std::unordered_map<const ir::Value*, ir::Value*> replaced;
  const auto current = [&](ir::Value* value) {
    const auto found = replaced.find(value);
    return found != replaced.end() ? found->second : value;
  };
  std::list<std::unique_ptr<ir::Operation>> dropped;
  for (auto at = body.ops.begin(); at != body.ops.end();) {
    ir::Operation& op = **at;
    for (ir::Operand& operand : ir::operands(op)) operand.value = current(operand.value);
    const ir::OpDef& def = catalog.at(op, function.opset);
    if (!def.expand() || keep(op)) {
      ++at;
      continue;
    }
    b.insert_before(&op);
    const bool first = at == body.ops.begin();
    const auto before = first ? body.ops.end() : std::prev(at);
    const std::vector<ir::Value*> results = def.expand()(b, ir::OpView(op, def, function.opset));
    MW_CHECK(results.size() == op.outputs.size());
    for (size_t i = 0; i < results.size(); ++i) {
      MW_CHECK(results[i]->type == op.outputs[i]->type);
      replaced[op.outputs[i].get()] = results[i];
    }
    dropped.splice(dropped.end(), body.ops, at);
    at = first ? body.ops.begin() : std::next(before);  // what it became may expand further
  }
  for (ir::Value*& output : body.outputs) {
    ir::Value* now = current(output);
    if (now != output) now->name = output->name;
    output = now;
  }
}

}  // namespace mw::passes
