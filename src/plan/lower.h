// Lowering: turns one block into the steps of a plan.
#pragma once

#include <limits>
#include <unordered_map>
#include <unordered_set>

#include "plan/account.h"
#include "plan/block.h"
#include "plan/claim.h"
#include "plan/constant_pool.h"
#include "plan/plan.h"

namespace mw::plan {

// Which values of a function are made of constants only, and their tensors on demand.
class Frozen : public ir::Facts {
 public:
  Frozen(const ir::Catalog& catalog, ir::Opset opset, ConstantPool& pool)
      : catalog_(catalog), opset_(opset), pool_(pool) {}

  // To be called for every op in order.
  bool note(const ir::Operation& op, const ir::OpDef& def);
  [[nodiscard]] bool holds(const ir::Value* value) const { return depth_.contains(value); }
  [[nodiscard]] bool holds(const ir::Operand& operand) const {
    return operand.literal != nullptr || holds(operand.value);
  }
  // The tensor of a frozen value; `keep` receives what keeps it alive and a const that is read in
  // place.
  Tensor tensor(const ir::Value* value, Plan& keep);
  // Names the value by the constants behind it, which are appended to `sources`.
  std::string identity(const ir::Operand& operand, std::vector<ir::ConstantPtr>& sources) const;

  // For values whose constants have changed since they were noted.
  void forget(const ir::Value* value) {
    depth_.erase(value);
    small_.erase(value);
  }

  // Small frozen values count as known.
  [[nodiscard]] const Tensor* tensor_of(const ir::Operand& operand) const override;

 private:
  [[nodiscard]] std::shared_ptr<const Tensor> made(const ir::Value* value) const;

  const ir::Catalog& catalog_;
  ir::Opset opset_;
  ConstantPool& pool_;
  std::unordered_map<const ir::Value*, int> depth_;
  mutable std::unordered_map<const ir::Value*, std::shared_ptr<const Tensor>> small_;
};

class Lowering {
 public:
  // Both outlive it.
  Lowering(const BlockFacts& block, Frozen& frozen) : block_(block), frozen_(frozen) {}

  std::shared_ptr<Plan> run();

 private:
  friend class Claim;
  friend class RowCluster;
  friend class PlanFamily;

  // An op of a row program that is computed when something asks for its result.
  struct Pending {
    const ir::Operation* op = nullptr;
    const RowRule* rule = nullptr;
    RowDomain domain;
    size_t order = 0;
    int depth = 0;  // of the chain of pending ops behind it
  };

  void bind_arguments();
  void operation(const ir::Operation& op);
  void step_for(const ir::Operation& op);
  // Forgets what it has planned.
  void restart();
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
  [[nodiscard]] bool beyond_region(const ir::Operation* op) const {
    return region_end_ != std::numeric_limits<size_t>::max() && block_.order_of(op) >= region_end_;
  }
  // States in memory: see states.cc.
  void bind_states();
  bool as_state_read(const ir::OpView& op, const ReadsState& form);
  bool as_state_write(const ir::OpView& op, const WritesState& form);
  bool as_update(const ir::OpView& op, const UpdateOf& form);
  bool updates_state(const ir::OpView& op, int buffer);
  // The buffer of the state that the value is written to; -1: of none.
  [[nodiscard]] int state_to_get(const ir::Value* value) const;
  // Steps that compute what is written to a state write it there themselves where they can.
  void write_in_place();
  void protect(int buffer, size_t order);
  [[nodiscard]] bool lies_in_state(const Where& where) const;

  [[nodiscard]] Where state_place(const ir::Value& state, int buffer) const;
  bool as_rows(const ir::OpView& op, const RowRule& rule);
  void emit_rows(const ir::Value* wanted);
  bool wait(const ir::Operation& op);
  void emit(const ir::Operation& op);
  // How long a chain of ops without steps the operands of `op` end; a chain that is too long is
  // computed, so that neither its evaluation nor a search through it recurses without bound.
  int depth_behind(const ir::Operation& op);
  bool as_form(const ir::OpView& op, const OpPlan::Form& form);
  bool as_view(const ir::OpView& op, const ViewOf& form);
  bool as_kernel(const ir::OpView& op, const KernelMaker& maker);
  bool as_kernel(const ir::OpView& op, const KernelMaker::Make& make);
  // What a claim that has become a step worked on; null unless the plan is described.
  std::shared_ptr<const Account> account_of(Claim& claim) const;
  void as_reference(const ir::OpView& op);
  void lower_blocks(const ir::Operation& op, ReferenceCall& call, Step& step);
  void finish_outputs();
  void output(const ir::Value& value);
  bool adopt_output(const Where& where, int index);

  void bind_input(const ir::Value& value);
  // Where a value lies, captured from outside or made from constants on first use.
  const Where& where(const ir::Value* value);
  // Computes a value that has been put off; one that its only user absorbs gets no place of its
  // own.
  void compute(const ir::Value* value);
  const Where& capture(const ir::Value* value);
  Where from_constant(const Tensor& tensor);
  Where operand(const ir::Operand& operand);
  // The same elements without gaps; a copy step is added where needed.
  Place densely(const ir::Operand& operand);
  Where new_result(const ir::Type& type);

  int add_buffer(Buffer::Kind kind, int64_t bytes);
  Place new_place(Buffer::Kind kind, DType dtype, const Shape& shape);
  void add_copy(const Place& from, const Place& to);
  static void note_buffer(std::vector<int>& list, const Where& where);

  const BlockFacts& block_;
  Frozen& frozen_;
  std::shared_ptr<Plan> plan_ = std::make_shared<Plan>();
  std::unordered_map<const ir::Value*, Where> where_;
  std::unordered_map<const ir::Value*, Place> dense_;  // copies of strided values
  std::unordered_map<const void*, Where> constants_;   // by address of the elements
  const ir::Operation* current_ = nullptr;
  std::unordered_map<const ir::Value*, Pending> pending_;
  size_t pending_order_ = 0;
  struct Waiting {
    const ir::Operation* op = nullptr;
    int depth = 0;
  };
  std::unordered_map<const ir::Value*, Waiting> waiting_;  // ops whose kernel is made on demand
  std::unordered_map<const ir::Value*, int> state_buffers_;
  // Values that lie in the memory of a state, by its buffer; and the ops that access the state.
  std::unordered_map<int, std::vector<const ir::Value*>> state_values_;
  std::unordered_map<int, std::vector<const ir::Operation*>> state_accesses_;
  struct WriteBack {
    int from = -1, state = -1;  // buffers
    size_t step = 0;            // the copy
  };
  std::vector<WriteBack> write_backs_;           // of whole buffers
  std::vector<const ir::Value*> frozen_places_;  // frozen values that have got a place
  size_t region_end_ = std::numeric_limits<size_t>::max();
  bool moved_ = false;  // a value has got another place than it had at first
};

// Moves widening casts below ops that only say where elements lie, and out of updates that are
// narrowed again: what is cast is then the part that is used, and a state is updated in its own
// dtype. Returns the results of the casts it added.
std::vector<ir::Value*> sink_casts(ir::Function& function, const OpPlans& plans);

// Appends a buffer that is not in the list.
void add_once(std::vector<int>& list, int buffer);

// A static tensor whose elements have addresses.
bool has_place(const ir::Type& type);

}  // namespace mw::plan
