// States: reads, writes, updates, and copies before what is overwritten.
#include "plan/states.h"

#include <algorithm>

#include "base/error.h"

namespace mw::plan {
namespace {

bool touches(const std::vector<int>& list, int buffer) {
  return std::find(list.begin(), list.end(), buffer) != list.end();
}

}  // namespace

int States::state_of(int buffer) const {
  const int whole = values_.whole(buffer);
  return values_.buffer(whole).kind == Buffer::Kind::kState ? whole : -1;
}

// All of a state's memory.
Place States::place_of(const ir::Value& state, int buffer) const {
  const ir::Type& type = state.type.element();
  return {{buffer, 0}, type.dtype(), type.shape(), row_major(type.shape())};
}

bool States::is_plain(const ir::Value& state) const {
  const std::vector<ir::Use>& uses = block_.uses(&state);
  return !uses.empty() && std::ranges::all_of(uses, [&](const ir::Use& use) {
    if (use.op == nullptr || use.op->parent != &block_.block()) return false;
    return block_.op_plans().form<ReadsState>(use.op->type) != nullptr ||
           block_.op_plans().form<WritesState>(use.op->type) != nullptr;
  });
}

void States::bind() {
  Plan& plan = values_.plan();
  for (size_t i = 0; i < plan.argument_count; ++i) {
    Input& input = plan.inputs[i];
    const ir::Type& type = input.value->type;
    if (!type.is_state() || !has_place(type.element()) || !is_plain(*input.value)) continue;
    input.state_buffer =
        values_.add_buffer(Buffer::Kind::kState, bytes_of(type.dtype(), count_of(type.shape())));
    plan.buffers.back().index = static_cast<int>(i);
    buffers_[input.value] = input.state_buffer;
    for (const ir::Use& use : block_.uses(input.value)) {
      accesses_[input.state_buffer].push_back(use.op);
    }
  }
}

void States::note_alias(const ir::Value* value, const Place& place) {
  const int state = state_of(place.ref.buffer);
  if (state >= 0) aliases_[state].push_back(value);
}

bool States::uses_any(const ir::Operation& op, const std::vector<const ir::Value*>& values) const {
  return std::ranges::any_of(ir::operands(op), [&](const ir::Operand& operand) {
    return std::find(values.begin(), values.end(), operand.value) != values.end();
  });
}

// Before the op at `order` writes to a state: what reads the old content later gets a copy of it.
void States::protect(int buffer, size_t order) {
  const std::vector<const ir::Value*> values = std::move(aliases_[buffer]);
  aliases_[buffer].clear();
  std::vector<const ir::Value*> readers;
  for (const auto& [value, waits] : waiting_.all()) {
    if (block_.needed_after(value, order) && uses_any(*waits.op, values)) readers.push_back(value);
  }
  std::ranges::sort(readers, {},
                    [&](const auto* value) { return block_.order_of(value->producer); });
  for (const ir::Value* value : readers) deferred_.compute(value);
  for (const ir::Value* value : values) {
    if (block_.needed_after(value, order)) values_.move(value);
  }
}

bool States::read(const ir::OpView& op, const ReadsState& form) {
  const auto found = buffers_.find(op.operand(form.state).value);
  if (found == buffers_.end()) return false;
  const ir::Value* result = op.operation().outputs[0].get();
  aliases_[found->second].push_back(result);
  values_.put(result, place_of(*found->first, found->second));
  return true;
}

bool States::write(const ir::OpView& op, const WritesState& form) {
  const auto found = buffers_.find(op.operand(form.state).value);
  if (found == buffers_.end()) return false;
  const auto& [value, buffer] = *found;
  const ir::Type& type = value->type.element();
  const ir::Operand& data = op.operand(form.data);
  const Where source = values_.at(data);
  if (source.kind != Where::Kind::kPlace || source.place.dtype != type.dtype() ||
      source.place.shape != type.shape()) {
    fail(ErrorCode::kInvalidModel, "{}: {}: expected {}, got {}", op.where(), form.data, type.str(),
         op.type(form.data).str());
  }
  Plan& plan = values_.plan();
  plan.inputs[static_cast<size_t>(values_.buffer(buffer).index)].written = true;
  const Place state = place_of(*value, buffer);
  const bool in_place = source.place.ref.buffer == buffer && source.place.ref.offset == 0;
  if (in_place && source.place.dense()) return true;
  // Of its own elements in another order: they are copied away first.
  if (state_of(source.place.ref.buffer) == buffer) values_.move(data.value);
  protect(buffer, block_.order_of(&op.operation()));
  const Place from = values_.at(data).place;
  const bool whole = from.dense() && from.ref.offset == 0 &&
                     values_.buffer(from.ref.buffer).bytes == state.nbytes();
  if (whole) write_backs_.push_back({from.ref.buffer, buffer, plan.steps.size()});
  values_.copy(from, state);
  return true;
}

int States::written_with(const ir::Value* value) const {
  for (const ir::Use& use : block_.uses(value)) {
    if (use.op == nullptr) continue;
    const auto* form = block_.op_plans().form<WritesState>(use.op->type);
    if (form == nullptr || use.op->inputs[use.input].name != form->data) continue;
    const auto state = buffers_.find(use.op->input(form->state));
    if (state != buffers_.end()) return state->second;
  }
  return -1;
}

// Whether until the copy nothing else may see the state; afterwards both hold the same, until a
// later write.
bool States::can_share(const WriteBack& back) const {
  const std::vector<Step>& steps = values_.plan().steps;
  size_t writers = 0, writer = 0, last = back.step;
  for (size_t s = 0; s < steps.size(); ++s) {
    if (touches(steps[s].writes, back.from)) {
      ++writers;
      writer = s;
    }
    if (touches(steps[s].reads, back.from)) last = std::max(last, s);
  }
  if (writers != 1 || writer >= back.step) return false;
  for (size_t s = writer + 1; s <= last; ++s) {
    if (s == back.step) continue;
    if (touches(steps[s].writes, back.state)) return false;
    if (s < back.step && touches(steps[s].reads, back.state)) return false;
  }
  return true;
}

// The result takes the memory of the state, and its copy becomes one from a place to itself.
void States::write_in_place() {
  for (const WriteBack& back : write_backs_) {
    Buffer& result = values_.buffer(back.from);
    if (result.kind != Buffer::Kind::kArena || result.shares != back.state) continue;
    if (!can_share(back)) continue;
    result.kind = Buffer::Kind::kState;
    result.index = values_.buffer(back.state).index;
    result.shares = -1;
    values_.plan().inputs[static_cast<size_t>(result.index)].written_over.push_back(back.from);
  }
}

// The first op that writes the value to the state of the buffer; null: none.
const ir::Operation* States::writer_of(const ir::Value& value, int buffer) const {
  const ir::Operation* first = nullptr;
  for (const ir::Use& use : block_.uses(&value)) {
    if (use.op == nullptr || use.op->parent != &block_.block()) continue;
    const auto* form = block_.op_plans().form<WritesState>(use.op->type);
    if (form == nullptr || use.op->inputs[use.input].name != form->data) continue;
    const auto state = buffers_.find(use.op->input(form->state));
    if (state == buffers_.end() || state->second != buffer) continue;
    if (first == nullptr || block_.order_of(use.op) < block_.order_of(first)) first = use.op;
  }
  return first;
}

// Whether the result of an update of a state's content goes back to that state, with no access to
// the state in between. Who else uses the result finds it there, like any other alias.
bool States::returns_to(int buffer, const ir::Operation& op) const {
  const ir::Operation* writer = writer_of(*op.outputs[0], buffer);
  if (writer == nullptr) return false;
  const size_t begin = block_.order_of(&op), end = block_.order_of(writer);
  return std::ranges::none_of(accesses_.at(buffer), [&](const ir::Operation* access) {
    const size_t order = block_.order_of(access);
    return order > begin && order < end;
  });
}

bool States::update(const ir::OpView& op, const UpdateOf& form) {
  const ir::Value* value = op.operation().outputs[0].get();
  if (!has_place(value->type)) return false;
  const Where x = values_.at(op.operand(form.input));
  if (x.kind != Where::Kind::kPlace) return false;
  const auto region = [&](const Place& all) -> std::optional<Place> {
    if (std::optional<Place> part = form.region(op, all)) return part;
    std::optional<MovingPart> part = form.moving ? form.moving(op, all) : std::nullopt;
    if (!part) return std::nullopt;
    return values_.window(op, std::move(*part));
  };
  if (!form.region(op, x.place) && !(form.moving && form.moving(op, x.place))) return false;
  const ir::Operand& update = op.operand(form.update);
  Place part = values_.at(update).place, result;
  const int buffer = x.place.ref.buffer;
  const bool whole = x.place.dense() && x.place.ref.offset == 0;
  const bool is_state = values_.buffer(buffer).kind == Buffer::Kind::kState;
  if (is_state && whole && returns_to(buffer, op.operation())) {
    // An update that itself reads the state is copied away with all else.
    if (state_of(part.ref.buffer) == buffer) part = values_.dense(update);
    if (state_of(part.ref.buffer) == buffer) return false;
    protect(buffer, block_.order_of(&op.operation()));
    result = x.place;
    aliases_[buffer].push_back(value);
  } else {
    result = values_.result(value->type).place;
    const bool arena = values_.buffer(buffer).kind == Buffer::Kind::kArena;
    if (whole && arena) values_.plan().buffers.back().shares = buffer;
    values_.copy(x.place, result);
  }
  values_.copy(part, *region(result));
  values_.put(value, result);
  return true;
}

}  // namespace mw::plan
