// PlanFamily: plans of one function for many input shapes, made from one another, so that a text
// that grows token by token costs little to plan. In three layers:
//
//   ir::AdjustableFunction  moves one specialised function from shapes to shapes, in place, and
//                           tells which values have got other extents or another constant
//   plan::PlanFamily        cuts the ops into regions that such values touch and regions that they
//                           do not; for other shapes it lowers the former again and takes the
//                           steps of the latter over from the first plan
//   plan::Layout            offsets made for larger extents, which a plan takes over where it has
//                           the same buffers: runs of all lengths then share arenas
//
// What makes this right: a region uses of those before it nothing but the places of values; a plan
// is only given out when each region that was lowered again made as many buffers and steps as the
// first time and left its values where those that are taken over expect them. Kernels hold extents;
// those that are taken over hold none that vary.
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
  // `varying`: names of values known to vary. The request's layout and taps are not used.
  PlanFamily(std::unique_ptr<ir::AdjustableFunction> function, std::set<std::string> varying,
             const Request& request);
  ~PlanFamily();
  PlanFamily(const PlanFamily&) = delete;
  PlanFamily& operator=(const PlanFamily&) = delete;

  // The plan for these shapes, which takes over `layout` where it fits. The first time, and when a
  // value varies that never did, all of it is lowered. Null, and then forever, when the function
  // for these shapes is another one, or steps cannot follow.
  std::shared_ptr<const Plan> plan(const Shapes& shapes,
                                   const std::shared_ptr<const Layout>& layout);

  // What was given and what has been seen to vary.
  [[nodiscard]] const std::set<std::string>& varying() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mw::plan
