// PlanFamily: plans of one function for many input shapes, made from one another: only the steps
// that depend on what varies between the shapes are made again.
//
//   plan::PlanFamily family(std::move(adjustable), {}, request);
//   std::shared_ptr<const plan::Plan> plan = family.plan({{"mask", {1, 1, 1, 9}}}, layout);
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "ir/adjustable.h"
#include "plan/plan.h"

namespace mw::plan {

// Not thread-safe. Plans outlive it.
class PlanFamily {
 public:
  // `varying`: names of values whose extents or constants differ between shapes. The request's
  // layout and taps are not used.
  PlanFamily(std::unique_ptr<ir::AdjustableFunction> function, std::set<std::string> varying,
             const Request& request);
  ~PlanFamily();
  PlanFamily(const PlanFamily&) = delete;
  PlanFamily& operator=(const PlanFamily&) = delete;

  // The plan for these shapes, which takes over `layout` where it fits. Null when the family has
  // none: what varies goes beyond varying(), or shapes differ in more than steps can follow. Then
  // the family has no further plans.
  std::shared_ptr<const Plan> plan(const Shapes& shapes,
                                   const std::shared_ptr<const Layout>& layout);

  // What was given and what has been seen to vary since.
  [[nodiscard]] const std::set<std::string>& varying() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mw::plan
