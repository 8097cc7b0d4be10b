// States as memory: a read is a view of the state, an update of a part is written in place, and
// what still needs the old content is copied away before a write.
#include <algorithm>

#include "base/error.h"
#include "plan/lower.h"

namespace mw::plan {
bool Lowering::lies_in_state(const Where& where) const {
  return where.kind == Where::Kind::kPlace &&
         values_.plan().buffers[static_cast<size_t>(where.place.ref.buffer)].kind ==
             Buffer::Kind::kState;
}

// A state can be used as memory when nothing but reads and writes of this block touches it.
void Lowering::bind_states() {
  for (size_t i = 0; i < values_.plan().argument_count; ++i) {
    Input& input = values_.plan().inputs[i];
    const ir::Type& type = input.value->type;
    if (!type.is_state() || !has_place(type.element())) continue;
    const std::vector<ir::Use>& uses = block_.uses(input.value);
    const bool plain = std::ranges::all_of(uses, [&](const ir::Use& use) {
      if (use.op == nullptr || use.op->parent != &block_.block()) return false;
      return block_.op_plans().form<ReadsState>(use.op->type) != nullptr ||
             block_.op_plans().form<WritesState>(use.op->type) != nullptr;
    });
    if (uses.empty() || !plain) continue;
    input.state_buffer =
        values_.add_buffer(Buffer::Kind::kState, bytes_of(type.dtype(), count_of(type.shape())));
    values_.plan().buffers.back().index = static_cast<int>(i);
    state_buffers_[input.value] = input.state_buffer;
    for (const ir::Use& use : uses) state_accesses_[input.state_buffer].push_back(use.op);
  }
}

// Before the op at `order` writes to a state: what reads the old content later gets a copy of it.
void Lowering::protect(int buffer, size_t order) {
  const std::vector<const ir::Value*> values = std::move(state_values_[buffer]);
  state_values_[buffer].clear();
  std::vector<const ir::Value*> waiting;
  const auto flush = [&](const ir::Value* value, const ir::Operation& op) {
    if (!block_.needed_after(value, order)) return;
    for (const ir::Operand& operand : ir::operands(op)) {
      if (std::find(values.begin(), values.end(), operand.value) == values.end()) continue;
      waiting.push_back(value);
      return;
    }
  };
  for (const auto& [value, waits] : waiting_.all()) flush(value, *waits.op);
  std::sort(waiting.begin(), waiting.end(), [&](const ir::Value* a, const ir::Value* b) {
    return block_.order_of(a->producer) < block_.order_of(b->producer);
  });
  for (const ir::Value* value : waiting) compute(value);
  for (const ir::Value* value : values) {
    if (block_.needed_after(value, order)) values_.move(value);
  }
}

// All of a state's memory.
Where Lowering::state_place(const ir::Value& state, int buffer) const {
  const ir::Type& type = state.type.element();
  Where where;
  where.kind = Where::Kind::kPlace;
  where.place = {{buffer, 0}, type.dtype(), type.shape(), row_major(type.shape())};
  return where;
}

bool Lowering::as_state_read(const ir::OpView& op, const ReadsState& form) {
  const auto found = state_buffers_.find(op.operand(form.state).value);
  if (found == state_buffers_.end()) return false;
  const ir::Value* result = op.operation().outputs[0].get();
  state_values_[found->second].push_back(result);
  values_.put(result, state_place(*found->first, found->second));
  return true;
}

bool Lowering::as_state_write(const ir::OpView& op, const WritesState& form) {
  const ir::Operation& operation = op.operation();
  const auto found = state_buffers_.find(op.operand(form.state).value);
  if (found == state_buffers_.end()) return false;
  const ir::Type& type = found->first->type.element();
  const Where state = state_place(*found->first, found->second);
  const ir::Operand& data = op.operand(form.data);
  const Where source = values_.at(data);
  if (source.kind != Where::Kind::kPlace || source.place.dtype != type.dtype() ||
      source.place.shape != type.shape()) {
    fail(ErrorCode::kInvalidModel, "{}: {}: expected {}, got {}", op.where(), form.data, type.str(),
         op.type(form.data).str());
  }
  values_.plan()
      .inputs[static_cast<size_t>(values_.plan().buffers[static_cast<size_t>(found->second)].index)]
      .written = true;
  if (lies_in_state(source) && source.place.ref.buffer == found->second) return true;
  protect(found->second, block_.order_of(&operation));
  const Place from = values_.at(data).place;
  const bool whole =
      from.dense() && from.ref.offset == 0 &&
      values_.plan().buffers[static_cast<size_t>(from.ref.buffer)].bytes == state.place.nbytes();
  if (whole) write_backs_.push_back({from.ref.buffer, found->second, values_.plan().steps.size()});
  values_.copy(from, state.place);
  return true;
}

int Lowering::state_to_get(const ir::Value* value) const {
  for (const ir::Use& use : block_.uses(value)) {
    if (use.op == nullptr) continue;
    const auto* form = block_.op_plans().form<WritesState>(use.op->type);
    if (form == nullptr || use.op->inputs[use.input].name != form->data) continue;
    const auto state = state_buffers_.find(use.op->input(form->state));
    if (state != state_buffers_.end()) return state->second;
  }
  return -1;
}

// The result takes the memory of the state, and its copy becomes one from a place to itself. Until
// the copy nothing else may see the state; afterwards both hold the same, until a later write.
void Lowering::write_in_place() {
  const auto touches = [](const std::vector<int>& list, int buffer) {
    return std::find(list.begin(), list.end(), buffer) != list.end();
  };
  for (const WriteBack& back : write_backs_) {
    Buffer& result = values_.plan().buffers[static_cast<size_t>(back.from)];
    if (result.kind != Buffer::Kind::kArena || result.shares != back.state) continue;
    size_t writers = 0, writer = 0, last = back.step;
    for (size_t s = 0; s < values_.plan().steps.size(); ++s) {
      const Step& step = values_.plan().steps[s];
      if (touches(step.writes, back.from)) {
        ++writers;
        writer = s;
      }
      if (touches(step.reads, back.from)) last = std::max(last, s);
    }
    bool free = writers == 1 && writer < back.step;
    for (size_t s = writer + 1; free && s <= last; ++s) {
      const Step& step = values_.plan().steps[s];
      if (s == back.step) continue;
      free =
          !touches(step.writes, back.state) && (s > back.step || !touches(step.reads, back.state));
    }
    if (!free) continue;
    result.kind = Buffer::Kind::kState;
    result.index = values_.plan().buffers[static_cast<size_t>(back.state)].index;
    result.shares = -1;
    values_.plan().inputs[static_cast<size_t>(result.index)].written_over.push_back(back.from);
  }
}

// Whether the result of an update of a state's content goes back to that state and nowhere else,
// with no access to the state in between.
bool Lowering::updates_state(const ir::OpView& op, int buffer) {
  const ir::Operation& operation = op.operation();
  const ir::Value& result = *operation.outputs[0];
  const ir::Use* use = block_.only_use(&result);
  if (use == nullptr || use->op == nullptr || block_.is_tapped(result)) return false;
  const ir::Operation* writer = use->op;
  if (writer->parent != &block_.block()) return false;
  const auto* form = block_.op_plans().form<WritesState>(writer->type);
  if (form == nullptr) return false;
  const auto state = state_buffers_.find(writer->input(form->state));
  if (state == state_buffers_.end() || state->second != buffer) return false;
  const size_t begin = block_.order_of(&operation), end = block_.order_of(writer);
  const auto& accesses = state_accesses_[buffer];
  return std::none_of(accesses.begin(), accesses.end(), [&](const ir::Operation* access) {
    const size_t order = block_.order_of(access);
    return order > begin && order < end;
  });
}

bool Lowering::as_update(const ir::OpView& op, const UpdateOf& form) {
  const ir::Operation& operation = op.operation();
  if (!has_place(operation.outputs[0]->type)) return false;
  const Where x = values_.at(op.operand(form.input));
  if (x.kind != Where::Kind::kPlace) return false;
  if (!form.region(op, x.place)) return false;
  const ir::Operand& update = op.operand(form.update);
  Place part = values_.at(update).place;
  Where result;
  result.kind = Where::Kind::kPlace;
  const int buffer = x.place.ref.buffer;
  const bool whole = x.place.dense() && x.place.ref.offset == 0;
  if (lies_in_state(x) && whole && updates_state(op, buffer)) {
    // An update that itself reads the state is copied away with all else.
    if (part.ref.buffer == buffer) part = values_.dense(update);
    if (part.ref.buffer == buffer) return false;
    protect(buffer, block_.order_of(&operation));
    result.place = x.place;
    state_values_[buffer].push_back(operation.outputs[0].get());
  } else {
    result = values_.result(operation.outputs[0]->type);
    const bool arena =
        values_.plan().buffers[static_cast<size_t>(buffer)].kind == Buffer::Kind::kArena;
    if (whole && arena) values_.plan().buffers.back().shares = buffer;
    values_.copy(x.place, result.place);
  }
  values_.copy(part, *form.region(op, result.place));
  values_.put(operation.outputs[0].get(), std::move(result));
  return true;
}

}  // namespace mw::plan
