// add_outputs(): a result that fills its arena buffer is computed in the caller's memory; all else
// is copied there.
#include "plan/outputs.h"

namespace mw::plan {
namespace {

bool adopt(Values& values, const Place& place, int index) {
  Buffer& buffer = values.buffer(place.ref.buffer);
  if (buffer.kind != Buffer::Kind::kArena || place.ref.offset != 0 || !place.dense() ||
      place.nbytes() != buffer.bytes) {
    return false;
  }
  buffer.kind = Buffer::Kind::kOutput;
  buffer.index = index;
  return true;
}

void add(Values& values, const ir::Value& value) {
  std::vector<Output>& outputs = values.plan().outputs;
  const auto index = static_cast<int>(outputs.size());
  Where found = values.at(&value);
  if (found.kind == Where::Kind::kPlace && !adopt(values, found.place, index)) {
    const Place copy = values.place(Buffer::Kind::kOutput, found.place.dtype, found.place.shape);
    values.plan().buffers.back().index = index;
    values.copy(found.place, copy);
    found.place = copy;
  }
  outputs.push_back({value.name, value.type, std::move(found)});
}

}  // namespace

void add_outputs(const BlockFacts& block, Values& values) {
  for (const ir::Value* value : block.block().outputs) add(values, *value);
  for (const auto& op : block.block().ops) {
    for (const auto& value : op->outputs) {
      if (block.is_tapped(*value)) add(values, *value);
    }
  }
}

}  // namespace mw::plan
