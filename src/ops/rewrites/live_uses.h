// LiveUses: who reads a value and is itself of use: what rewrites leave behind does not count.
#pragma once

#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "ir/op_def.h"

namespace mw::ops {

class LiveUses {
 public:
  // As the function is now; it outlives this.
  LiveUses(const ir::Function& function, const ir::Catalog& catalog);

  [[nodiscard]] bool is_live(const ir::Operation& op) const { return live_.contains(&op); }
  // Whether one live op or output of a block reads the value, once.
  [[nodiscard]] bool has_one(const ir::Value* value) const;
  // Whether every live use is by one of these ops.
  [[nodiscard]] bool are_of(const ir::Value* value,
                            const std::vector<const ir::Operation*>& ops) const;

 private:
  void note(const ir::Operation& op, const ir::OpDef& def);
  [[nodiscard]] bool is_live(const ir::Use& use) const {
    return use.op == nullptr || live_.contains(use.op);
  }
  [[nodiscard]] const std::vector<ir::Use>& uses(const ir::Value* value) const;

  std::unordered_map<const ir::Value*, std::vector<ir::Use>> uses_;
  std::unordered_set<const ir::Operation*> live_;
};

}  // namespace mw::ops
