// pair_ops(): both blocks walked side by side.
#include "ir/op_pairs.h"

namespace mw::ir {
namespace {

void walk(const Block& source, const Block& copy, OpPairs& pairs) {
  auto other = copy.ops.begin();
  for (const auto& op : source.ops) {
    pairs[op.get()] = other->get();
    for (size_t i = 0; i < op->blocks.size(); ++i) {
      walk(*op->blocks[i], *(*other)->blocks[i], pairs);
    }
    ++other;
  }
}

}  // namespace

OpPairs pair_ops(const Block& source, const Block& copy) {
  OpPairs pairs;
  walk(source, copy, pairs);
  return pairs;
}

}  // namespace mw::ir
