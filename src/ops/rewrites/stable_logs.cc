// Every logarithm of the body and of nested blocks, if it is one of an activation.
#include "ops/rewrites/stable_logs.h"

#include "ops/expr.h"
#include "ops/loss/ends.h"
#include "ops/loss/loss.h"
#include "ops/loss/moves.h"
#include "ops/rewrites/substitute.h"

namespace mw::ops {
namespace {

Value* stable(Builder& b, const End& end) {
  if (end.kind == End::Kind::kLogSigmoid) {
    const Expr x(b, end.source);
    return moved_alike(b, -(-x).op("softplus"), end.moves);
  }
  End inner = end;
  inner.moves.clear();
  const Expr logs(b, log_softmax_of(b, before_activation(b, inner), *end.source_axis));
  return moved_alike(b, logs, end.moves);
}

void in_block(Function& function, Block& block, const Catalog& catalog, ValueMap& map) {
  for (const auto& op : block.ops) {
    for (const auto& nested : op->blocks) in_block(function, *nested, catalog, map);
    if (op->type != "log" || op->input("x") == nullptr) continue;
    if (!op->outputs[0]->type.is_static()) continue;
    const End end = end_of(op->outputs[0].get(), catalog);
    if (end.kind != End::Kind::kLogSoftmax && end.kind != End::Kind::kLogSigmoid) continue;
    if (end.source->type.dtype() != op->outputs[0]->type.dtype()) continue;
    Builder b(block, catalog, function.opset);
    b.insert_before(op.get());
    map[op->outputs[0].get()] = stable(b, end);
  }
}

}  // namespace

void stable_logs(Function& function, const Catalog& catalog) {
  ValueMap map;
  in_block(function, function.body, catalog, map);
  substitute(function, catalog, map);
}

}  // namespace mw::ops
