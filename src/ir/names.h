// Names of values: each one once in a function.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "ir/program.h"

namespace mw::ir {

class Names {
 public:
  Names() = default;
  // With those of the arguments and results in `block` and in all blocks inside.
  explicit Names(const Block& block) { take_all(block); }

  void take(const std::string& name) { taken_.insert(name); }
  // `stem`, or the first of stem_0, stem_1, … that is free where it is taken; taken from now on.
  std::string fresh(std::string_view stem) {
    std::string name(stem);
    if (taken_.insert(name).second) return name;
    int& next = next_[name];
    while (!taken_.insert(name).second) name = fmt::format("{}_{}", stem, next++);
    return name;
  }

 private:
  void take_all(const Block& block) {
    for (const auto& argument : block.arguments) take(argument->name);
    for (const auto& op : block.ops) {
      for (const auto& output : op->outputs) take(output->name);
      for (const auto& nested : op->blocks) take_all(*nested);
    }
  }

  std::unordered_set<std::string> taken_;
  std::unordered_map<std::string, int> next_;  // the number that was not tried yet
};

}  // namespace mw::ir
