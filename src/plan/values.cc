// Lowering: where values lie: in buffers of the plan, in slots of a run, in constants.
#include <utility>

#include "base/error.h"
#include "plan/lower.h"

namespace mw::plan {

int Lowering::add_buffer(Buffer::Kind kind, int64_t bytes) {
  Buffer& buffer = plan_->buffers.emplace_back();
  buffer.kind = kind;
  buffer.bytes = bytes;
  return static_cast<int>(plan_->buffers.size()) - 1;
}

Place Lowering::new_place(Buffer::Kind kind, DType dtype, const Shape& shape) {
  Place place{{}, dtype, shape, row_major(shape)};
  place.ref.buffer = add_buffer(kind, bytes_of(dtype, count_of(shape)));
  return place;
}

void Lowering::bind_input(const ir::Value& value) {
  Where where;
  if (has_place(value.type)) {
    where.kind = Where::Kind::kPlace;
    where.place = new_place(Buffer::Kind::kInput, value.type.dtype(), value.type.shape());
    plan_->buffers.back().index = static_cast<int>(plan_->inputs.size());
  } else {
    where.kind = Where::Kind::kSlot;
    where.slot = plan_->slot_count++;
  }
  plan_->inputs.push_back({&value, where, value.type.is_state()});
  where_[&value] = std::move(where);
}

const Where& Lowering::capture(const ir::Value* value) {
  bind_input(*value);
  return where_.at(value);
}

void Lowering::compute(const ir::Value* value) {
  if (where_.contains(value)) return;
  if (pending_.contains(value)) {
    emit_rows(value);
  } else if (const auto waiting = waiting_.find(value); waiting != waiting_.end()) {
    emit(*waiting->second.op);
  }
}

const Where& Lowering::where(const ir::Value* value) {
  const auto found = where_.find(value);
  if (found != where_.end()) return found->second;
  if (pending_.contains(value) || waiting_.contains(value)) {
    compute(value);
    return where_.at(value);
  }
  if (!frozen_.holds(value)) return capture(value);
  Where made;
  if (value->type.is_tensor()) made = from_constant(frozen_.tensor(value, *plan_));
  frozen_places_.push_back(value);
  return where_[value] = std::move(made);
}

Where Lowering::from_constant(const Tensor& tensor) {
  const auto known = constants_.find(tensor.raw());
  if (known != constants_.end() && known->second.place.shape == tensor.shape() &&
      known->second.place.dtype == tensor.dtype()) {
    return known->second;
  }
  Where where;
  if (tensor.dtype() == DType::kString || bit_width(tensor.dtype()) < 8) {
    where.kind = Where::Kind::kConstant;
    where.constant = tensor;
    return where;
  }
  where.kind = Where::Kind::kPlace;
  where.place = new_place(Buffer::Kind::kConstant, tensor.dtype(), tensor.shape());
  plan_->buffers.back().constant = tensor;
  plan_->buffers.back().data = on_device(tensor, block_.backend(), *block_.request().pool);
  return constants_[tensor.raw()] = where;
}

Where Lowering::operand(const ir::Operand& operand) {
  if (operand.value != nullptr) return where(operand.value);
  if (!operand.literal->is_tensor()) return {};
  return from_constant(operand.literal->value());
}

void Lowering::add_copy(const Place& from, const Place& to) {
  Step& step = plan_->steps.emplace_back();
  step.op = current_;
  step.kind = "copy";
  step.kernel = block_.backend().make_copy(from, to);
  step.reads = {from.ref.buffer};
  step.writes = {to.ref.buffer};
  step.bytes = 2 * static_cast<double>(to.nbytes());
  if (!block_.request().described) return;
  Account account;
  account.operands = {{"from", from}};
  account.results = {{"", to}};
  step.account = std::make_shared<const Account>(std::move(account));
}

Place Lowering::densely(const ir::Operand& wanted) {
  const Where found = operand(wanted);
  MW_CHECK(found.kind == Where::Kind::kPlace);
  if (found.place.dense()) return found.place;
  if (wanted.value != nullptr) {
    const auto copied = dense_.find(wanted.value);
    if (copied != dense_.end()) return copied->second;
  }
  Place copy = new_place(Buffer::Kind::kArena, found.place.dtype, found.place.shape);
  add_copy(found.place, copy);
  if (wanted.value != nullptr) dense_[wanted.value] = copy;
  return copy;
}

Where Lowering::new_result(const ir::Type& type) {
  Where where;
  if (has_place(type)) {
    where.kind = Where::Kind::kPlace;
    where.place = new_place(Buffer::Kind::kArena, type.dtype(), type.shape());
  } else {
    where.kind = Where::Kind::kSlot;
    where.slot = plan_->slot_count++;
  }
  return where;
}

void Lowering::note_buffer(std::vector<int>& list, const Where& where) {
  if (where.kind == Where::Kind::kPlace) add_once(list, where.place.ref.buffer);
}

}  // namespace mw::plan
