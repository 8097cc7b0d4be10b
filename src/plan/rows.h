// Fuser: row programs out of waiting ops: elementwise ops and row reductions wait until a result is
// needed; then the longest chain behind it that walks the same rows becomes one step.
#pragma once

#include <optional>

#include "plan/states.h"
#include "plan/values.h"
#include "plan/waiting.h"

namespace mw::plan {

class Fuser {
 public:
  // All outlive it.
  Fuser(const BlockFacts& block, Values& values, Waiting& waiting, const States& states)
      : block_(block), values_(values), waiting_(waiting), states_(states) {}

  // What the op walks over as a part of a program; nullopt: it cannot be one.
  [[nodiscard]] std::optional<RowDomain> domain(const ir::OpView& op, const RowRule& rule) const;
  // Adds a step that computes the waiting op behind `wanted`, and others with it. What that step
  // reads and no step computes yet is computed by `deferred` first.
  void compute(const ir::Value* wanted, Deferred& deferred);

 private:
  const BlockFacts& block_;
  Values& values_;
  Waiting& waiting_;
  const States& states_;
};

}  // namespace mw::plan
