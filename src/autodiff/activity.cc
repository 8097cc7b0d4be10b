// Activity: one pass forwards, one backwards.
#include "autodiff/activity.h"

#include <algorithm>

namespace mw::autodiff {
namespace {

using ir::Block;
using ir::Operation;
using ir::Value;

void collect(const Operation& op, std::unordered_set<const Value*>& inside,
             std::vector<Value*>& read) {
  for (const ir::Operand& operand : ir::operands(op)) {
    if (operand.value != nullptr && !inside.contains(operand.value)) {
      read.push_back(operand.value);
    }
  }
  for (const auto& block : op.blocks) {
    for (const auto& argument : block->arguments) inside.insert(argument.get());
    for (const auto& nested : block->ops) {
      collect(*nested, inside, read);
      for (const auto& output : nested->outputs) inside.insert(output.get());
    }
    for (Value* output : block->outputs) {
      if (!inside.contains(output)) read.push_back(output);
    }
  }
}

bool any_in(const std::vector<Value*>& values, const std::unordered_set<const Value*>& set) {
  return std::any_of(values.begin(), values.end(), [&](const Value* v) { return set.contains(v); });
}

}  // namespace

bool carries_gradient(const ir::Type& type) { return type.is_tensor() && is_float(type.dtype()); }

std::vector<Value*> values_read_by(const Operation& op) {
  std::unordered_set<const Value*> inside, seen;
  std::vector<Value*> read, unique;
  collect(op, inside, read);
  for (Value* value : read) {
    if (seen.insert(value).second) unique.push_back(value);
  }
  return unique;
}

Activity::Activity(const Block& block, const std::vector<Value*>& wrt,
                   const std::vector<Value*>& ends) {
  varied_.insert(wrt.begin(), wrt.end());
  for (const auto& op : block.ops) {
    if (!any_in(values_read_by(*op), varied_)) continue;
    for (const auto& output : op->outputs) {
      if (carries_gradient(output->type) || output->type.is_list()) varied_.insert(output.get());
    }
  }
  needed_.insert(ends.begin(), ends.end());
  for (auto op = block.ops.rbegin(); op != block.ops.rend(); ++op) {
    const bool needed =
        std::any_of((*op)->outputs.begin(), (*op)->outputs.end(),
                    [&](const auto& output) { return needed_.contains(output.get()); });
    if (!needed) continue;
    for (const Value* value : values_read_by(**op)) needed_.insert(value);
  }
}

bool reaches(const Block& block, const Value* value, const std::vector<Value*>& ends) {
  std::unordered_set<const Value*> reached{value};
  for (const auto& op : block.ops) {
    if (!any_in(values_read_by(*op), reached)) continue;
    for (const auto& output : op->outputs) reached.insert(output.get());
  }
  return any_in(ends, reached);
}

}  // namespace mw::autodiff
