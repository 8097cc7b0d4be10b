// Lowering: the ops of a block to the steps of a plan, in program order: a view, an update, an op
// that waits, a kernel or a reference step.
//
//   std::shared_ptr<Plan> plan = Lowering(block, frozen).run();
#pragma once

#include <memory>
#include <vector>

#include "plan/rows.h"
#include "plan/states.h"
#include "plan/values.h"
#include "plan/waiting.h"

namespace mw::plan {

class Lowering : private Deferred {
 public:
  // Both outlive it.
  Lowering(const BlockFacts& block, Frozen& frozen);

  // All of it: the plan without its memory assigned.
  std::shared_ptr<Plan> run();

  // The same by hand: arguments, ops in order, outputs.
  void bind_arguments();
  void lower(const ir::Operation& op);
  void finish_outputs();
  // Ops up to the order `end` are lowered without a look at those behind, until the region is
  // closed. Then the values `later` have places, and nothing else is shared with what follows.
  void open_region(size_t end) { horizon_ = end; }
  void close_region(const std::vector<const ir::Value*>& later);
  [[nodiscard]] Values& values() { return values_; }

 private:
  bool as_form(const ir::OpView& op, const OpPlan::Form& form);
  bool as_view(const ir::OpView& op, std::string_view input, const ViewRule& results,
               const MovingRule& moving);
  bool may_be_view(const ir::OpView& op, const ir::Operand& operand, const ViewRule& results,
                   const MovingRule& moving);
  bool as_moving_view(const ir::OpView& op, const Place& x, const MovingRule& moving);
  void put_views(const ir::OpView& op, std::vector<Place> places);
  bool as_gapless_view(const ir::OpView& op);
  bool as_waiting(const ir::OpView& op);
  bool as_kernel(const ir::OpView& op);
  void as_reference(const ir::OpView& op);
  int depth_behind(const ir::Operation& op);

  [[nodiscard]] bool is_deferred(const ir::Value* value) const override {
    return waiting_.find(value) != nullptr;
  }
  // One that its only user absorbs gets no place of its own.
  void compute(const ir::Value* value) override;

  const BlockFacts& block_;
  Frozen& frozen_;
  Values values_;
  Waiting waiting_;
  States states_;
  Fuser fuser_;
  size_t horizon_;
};

}  // namespace mw::plan
