// Lowering: turns one block into the steps of a plan.
#pragma once

#include <limits>
#include <unordered_map>
#include <unordered_set>

#include "plan/account.h"
#include "plan/claim.h"
#include "plan/rows.h"
#include "plan/states.h"
#include "plan/values.h"
#include "plan/waiting.h"

namespace mw::plan {

class Lowering : private Deferred {
 public:
  // Both outlive it.
  Lowering(const BlockFacts& block, Frozen& frozen)
      : block_(block),
        frozen_(frozen),
        values_(block, frozen, *this),
        states_(block, values_, waiting_, *this),
        fuser_(block, values_, waiting_, states_) {}

  std::shared_ptr<Plan> run();

 private:
  friend class PlanFamily;

  void bind_arguments();
  void operation(const ir::Operation& op);
  void step_for(const ir::Operation& op);
  // Ops in a row, up to order `end`.
  struct Region {
    std::vector<const ir::Operation*> ops;
    std::vector<const ir::Operation*> live;             // those that something needs
    std::unordered_set<const ir::Operation*> constant;  // made of constants, as far as types tell
    std::vector<const ir::Value*> later;                // results that later regions use
    bool varies = false;
    size_t end = 0;
    // How much of the plan there is after it, and where values of `later` lie: all of them, or of a
    // region that varies those that do not.
    size_t buffers = 0, steps = 0, keeps = 0, weights = 0;
    std::vector<std::pair<const ir::Value*, Where>> places;
  };
  // Lowers ops without a look at those of later regions.
  void lower_region(const Region& region);
  bool wait_for_rows(const ir::OpView& op, const RowRule& rule);
  bool wait(const ir::Operation& op);
  void emit(const ir::Operation& op);
  // How long a chain of ops without steps the operands of `op` end; a chain that is too long is
  // computed, so that neither its evaluation nor a search through it recurses without bound.
  int depth_behind(const ir::Operation& op);
  bool as_form(const ir::OpView& op, const OpPlan::Form& form);
  bool as_view(const ir::OpView& op, const ViewOf& form);
  bool as_kernel(const ir::OpView& op, const KernelMaker& maker);
  bool as_kernel(const ir::OpView& op, const KernelMaker::Make& make);
  void as_reference(const ir::OpView& op);
  void lower_blocks(const ir::Operation& op, ReferenceCall& call, Step& step);
  void finish_outputs();
  void output(const ir::Value& value);
  bool adopt_output(const Where& where, int index);

  [[nodiscard]] bool is_deferred(const ir::Value* value) const override {
    return waiting_.find(value) != nullptr;
  }
  // One that its only user absorbs gets no place of its own.
  void compute(const ir::Value* value) override;
  static void note_buffer(std::vector<int>& list, const Where& where);

  const BlockFacts& block_;
  Frozen& frozen_;
  Values values_;
  Waiting waiting_;
  States states_;
  Fuser fuser_;
  size_t horizon_ = kNoHorizon;
};

}  // namespace mw::plan
