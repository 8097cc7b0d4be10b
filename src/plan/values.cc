// Values: look-ups, new buffers and slots, and the copies between them.
#include "plan/values.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "plan/account.h"
#include "plan/constant_pool.h"

namespace mw::plan {

bool has_place(const ir::Type& type) {
  return type.is_tensor() && type.is_static() && type.dtype() != DType::kString &&
         bit_width(type.dtype()) >= 8;
}

Values::Values(const BlockFacts& block, Frozen& frozen, Deferred& deferred)
    : block_(block), frozen_(frozen), deferred_(deferred) {
  plan_->backend = &block.backend();
  plan_->described = block.request().described;
}

int Values::whole(int buffer) const {
  while (this->buffer(buffer).within >= 0) buffer = this->buffer(buffer).within;
  return buffer;
}

void Values::touch(std::vector<int>& list, int buffer) const {
  for (; buffer >= 0; buffer = this->buffer(buffer).within) {
    if (std::ranges::find(list, buffer) == list.end()) list.push_back(buffer);
  }
}

const Where* Values::find(const ir::Value* value) const {
  const auto found = where_.find(value);
  return found == where_.end() ? nullptr : &found->second;
}

const Where& Values::at(const ir::Value* value) {
  if (const Where* known = find(value)) return *known;
  if (deferred_.is_deferred(value)) {
    deferred_.compute(value);
    return where_.at(value);
  }
  if (!frozen_.holds(value)) {
    bind_input(*value);
    return where_.at(value);
  }
  Where made;
  if (value->type.is_tensor()) made = constant(frozen_.tensor(value, *plan_));
  frozen_places_.push_back(value);
  return where_[value] = std::move(made);
}

Where Values::at(const ir::Operand& operand) {
  if (operand.value != nullptr) return at(operand.value);
  if (!operand.literal->is_tensor()) return {};
  return constant(operand.literal->value());
}

Place Values::dense(const ir::Operand& operand) {
  const Where found = at(operand);
  MW_CHECK(found.kind == Where::Kind::kPlace);
  if (found.place.dense()) return found.place;
  if (operand.value != nullptr) {
    const auto copied = dense_.find(operand.value);
    if (copied != dense_.end()) return copied->second;
  }
  Place to = place(Buffer::Kind::kArena, found.place.dtype, found.place.shape);
  copy(found.place, to);
  if (operand.value != nullptr) dense_[operand.value] = to;
  return to;
}

void Values::put(const ir::Value* value, Place place) {
  Where& where = where_[value];
  where.kind = Where::Kind::kPlace;
  where.place = std::move(place);
}

void Values::move(const ir::Value* value) {
  Where& old = where_.at(value);
  const Place to = place(Buffer::Kind::kArena, old.place.dtype, old.place.shape);
  copy(old.place, to);
  old.place = to;
  moved_ = true;
  dense_.erase(value);
}

int Values::add_buffer(Buffer::Kind kind, int64_t bytes) {
  Buffer& buffer = plan_->buffers.emplace_back();
  buffer.kind = kind;
  buffer.bytes = bytes;
  return static_cast<int>(plan_->buffers.size()) - 1;
}

Place Values::place(Buffer::Kind kind, DType dtype, const Shape& shape) {
  Place place{{}, dtype, shape, row_major(shape)};
  place.ref.buffer = add_buffer(kind, bytes_of(dtype, count_of(shape)));
  return place;
}

Where Values::result(const ir::Type& type) {
  Where where;
  if (has_place(type)) {
    where.kind = Where::Kind::kPlace;
    where.place = place(Buffer::Kind::kArena, type.dtype(), type.shape());
  } else {
    where.kind = Where::Kind::kSlot;
    where.slot = plan_->slot_count++;
  }
  return where;
}

void Values::bind_input(const ir::Value& value) {
  Where where = result(value.type);
  if (where.kind == Where::Kind::kPlace) {
    Buffer& input = buffer(where.place.ref.buffer);
    input.kind = Buffer::Kind::kInput;
    input.index = static_cast<int>(plan_->inputs.size());
  }
  plan_->inputs.push_back({&value, where, value.type.is_state()});
  where_[&value] = std::move(where);
}

Where Values::constant(const Tensor& tensor) {
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
  where.place = place(Buffer::Kind::kConstant, tensor.dtype(), tensor.shape());
  plan_->buffers.back().constant = tensor;
  plan_->buffers.back().data = on_device(tensor, block_.backend(), *block_.request().pool);
  return constants_[tensor.raw()] = where;
}

Place Values::window(const ir::OpView& op, MovingPart part) {
  MW_CHECK(part.integers.size() <= MovingPart::kMaxIntegers);
  Locating locating;
  locating.first = part.place.ref;
  locating.position = std::move(part.position);
  Account account;
  Step step;
  for (const std::string& input : part.integers) {
    const Place integers = dense(op.operand(input));
    touch(step.reads, integers.ref.buffer);
    if (plan_->described) account.operands.push_back({input, integers});
    locating.integers.push_back(integers);
  }
  locating.window = add_buffer(Buffer::Kind::kWindow, part.place.nbytes());
  plan_->buffers.back().within = part.place.ref.buffer;
  part.place.ref = {locating.window, 0};
  step.op = &op.operation();
  step.kind = "position";
  step.locating = std::make_shared<const Locating>(std::move(locating));
  if (plan_->described) {
    account.results = {{"", part.place}};
    step.account = std::make_shared<const Account>(std::move(account));
  }
  plan_->steps.push_back(std::move(step));
  return part.place;
}

void Values::copy(const Place& from, const Place& to) {
  Step& step = plan_->steps.emplace_back();
  step.op = reader_;
  step.kind = "copy";
  step.kernel = block_.backend().make_copy(from, to);
  touch(step.reads, from.ref.buffer);
  touch(step.writes, to.ref.buffer);
  step.bytes = 2 * static_cast<double>(to.nbytes());
  step.copied = to.nbytes();
  step.vanishes = from.ref.offset == to.ref.offset && from.strides == to.strides;
  if (!plan_->described) return;
  Account account;
  account.operands = {{"from", from}};
  account.results = {{"", to}};
  step.account = std::make_shared<const Account>(std::move(account));
}

const ir::Operation* Values::read_for(const ir::Operation* op) {
  return std::exchange(reader_, op);
}

void Values::forget_shared() {
  dense_.clear();
  constants_.clear();
  for (const ir::Value* value : frozen_places_) where_.erase(value);
  frozen_places_.clear();
}

}  // namespace mw::plan
