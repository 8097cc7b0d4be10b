// Values: where the values of a block lie, in the plan as far as it is written: in buffers, in
// slots of a run, in constants.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "plan/block.h"
#include "plan/frozen.h"

namespace mw::plan {

// A static tensor whose elements have addresses.
bool has_place(const ir::Type& type);
// Computes values that were put off until something asks for them.
class Deferred {
 public:
  virtual ~Deferred() = default;
  [[nodiscard]] virtual bool is_deferred(const ir::Value* value) const = 0;
  virtual void compute(const ir::Value* value) = 0;
};

class Values {
 public:
  // All outlive it.
  Values(const BlockFacts& block, Frozen& frozen, Deferred& deferred);

  [[nodiscard]] Plan& plan() { return *plan_; }
  [[nodiscard]] const Plan& plan() const { return *plan_; }
  std::shared_ptr<Plan> take_plan() { return std::move(plan_); }
  [[nodiscard]] Buffer& buffer(int index) { return plan_->buffers[static_cast<size_t>(index)]; }
  [[nodiscard]] const Buffer& buffer(int index) const {
    return plan_->buffers[static_cast<size_t>(index)];
  }
  [[nodiscard]] Frozen& frozen() { return frozen_; }
  // The buffer that it is a part of, a window or not.
  [[nodiscard]] int whole(int buffer) const;
  // Notes in the list of a step that it touches the buffer.
  void touch(std::vector<int>& list, int buffer) const;

  // Where a value lies that has a place already; null: it has none.
  [[nodiscard]] const Where* find(const ir::Value* value) const;
  // Where it lies: computed, captured from outside or made of constants on first use.
  const Where& at(const ir::Value* value);
  Where at(const ir::Operand& operand);
  // The same elements without gaps; a copy step is added where needed.
  Place dense(const ir::Operand& operand);
  // Gives it a place for the first time.
  void put(const ir::Value* value, Where where) { where_[value] = std::move(where); }
  void put(const ir::Value* value, Place place);
  // Copies it elsewhere; whoever asks from here on finds it there.
  void move(const ir::Value* value);
  [[nodiscard]] bool has_moved() const { return moved_; }

  // A new buffer or slot.
  Where result(const ir::Type& type);
  Place place(Buffer::Kind kind, DType dtype, const Shape& shape);
  int add_buffer(Buffer::Kind kind, int64_t bytes);
  void bind_input(const ir::Value& value);
  // The part as a run finds it, from here on; what it depends on is computed.
  Place window(const ir::OpView& op, MovingPart part);
  Where constant(const Tensor& tensor);

  void copy(const Place& from, const Place& to);
  // The op that copies are made for from here on; returns the one before. Null: the outputs.
  const ir::Operation* read_for(const ir::Operation* op);

  // Copies and constants made so far are not used further down.
  void forget_shared();

 private:
  const BlockFacts& block_;
  Frozen& frozen_;
  Deferred& deferred_;
  std::shared_ptr<Plan> plan_ = std::make_shared<Plan>();
  std::unordered_map<const ir::Value*, Where> where_;
  std::unordered_map<const ir::Value*, Place> dense_;  // copies of strided values
  std::unordered_map<const void*, Where> constants_;   // by address of the elements
  std::vector<const ir::Value*> frozen_places_;        // frozen values that have got a place
  const ir::Operation* reader_ = nullptr;
  bool moved_ = false;
};

}  // namespace mw::plan
