// RelatedPlans: plans for input shapes that differ in nothing but extents, those of 1 aside, made
// from one another as plan::PlanFamily says.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "plan/family.h"

namespace mw::exec {

// Not thread-safe.
class RelatedPlans {
 public:
  // A family whose function is specialised for these shapes; null: it cannot be adjusted.
  using Begin = std::function<std::unique_ptr<plan::PlanFamily>(const Shapes& shapes,
                                                                std::set<std::string> varying)>;

  // `first`: the shapes that were planned by themselves, since nothing told that others would come.
  RelatedPlans(Shapes first, Begin begin);

  // Whether the extents of 1 are where those of the first shapes are.
  [[nodiscard]] bool relates(const Shapes& shapes) const;
  // The plan for related shapes, which takes over `layout` where it fits. Null: they are to be
  // planned by themselves.
  std::shared_ptr<const plan::Plan> plan(const Shapes& shapes,
                                         const std::shared_ptr<const plan::Layout>& layout);

 private:
  bool begin_family(const Shapes& shapes);
  void end_family();

  Shapes first_;
  Begin begin_;
  std::unique_ptr<plan::PlanFamily> family_;
  std::set<std::string> varying_;  // as families that have ended saw it
  bool adjustable_ = true;
  size_t families_ = 0, plans_ = 0;  // so far
};

}  // namespace mw::exec
