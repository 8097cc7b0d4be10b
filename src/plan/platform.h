// Platform: what a function is planned for: ops with their plans, and the device that runs them.
#pragma once

#include "ir/op_def.h"
#include "plan/backend.h"
#include "plan/op_plan.h"

namespace mw::plan {

// All three outlive whatever is made with it.
struct Platform {
  const ir::Catalog* catalog = nullptr;
  const OpPlans* ops = nullptr;
  const Backend* backend = nullptr;

  // Whether such an op may become something else than a reference step.
  [[nodiscard]] bool covers(std::string_view op) const {
    const OpPlan& plan = ops->of(op);
    return backend->kernel(op) != nullptr || !std::holds_alternative<std::monostate>(plan.form) ||
           (plan.row && backend->runs_rows());
  }
};

}  // namespace mw::plan
