// rename(): other names for all that an operation defines.
#pragma once

#include "ir/program.h"

namespace mw::ir {

// `renamed(name)` for its `name` attribute, its results, and what is defined in its blocks.
template <class Renamed>
void rename(Operation& op, const Renamed& renamed) {
  if (find_attribute(op.attributes, "name")) {
    set_attribute(op.attributes, "name", Constant::string(renamed(op.name())));
  }
  for (const auto& output : op.outputs) output->name = renamed(output->name);
  for (const auto& block : op.blocks) {
    for (const auto& argument : block->arguments) argument->name = renamed(argument->name);
    for (const auto& inner : block->ops) rename(*inner, renamed);
  }
}

}  // namespace mw::ir
