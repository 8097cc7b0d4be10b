// RunMemory: addresses, and tensors that show what lies behind them.
#include "exec/run_memory.h"

#include <array>
#include <map>

namespace mw::exec {
namespace {

using plan::Buffer;
using plan::Where;

// Stands for the elements of empty tensors.
alignas(64) std::byte g_nothing[64];

}  // namespace

const std::shared_ptr<const void>& borrowed_owner() {
  static const std::shared_ptr<const void> kOwner = std::make_shared<int>(0);
  return kOwner;
}

// NOLINTNEXTLINE(performance-unnecessary-value-param): overloads are told apart by value
Tensor owned(Tensor tensor) { return tensor.owner() == borrowed_owner() ? tensor.clone() : tensor; }

// The elements of a list were made so when they were put there.
ir::Datum owned(ir::Datum datum) {
  if (!datum.tensor.empty()) datum.tensor = owned(std::move(datum.tensor));
  return datum;
}

const void* base_of(const Tensor& tensor) {
  return tensor.raw() != nullptr ? tensor.raw() : g_nothing;
}

RunMemory::RunMemory(const plan::Plan& plan)
    : plan_(plan),
      memory_(plan.backend->memory()),
      stream_(plan.backend->make_stream()),
      frame_(plan.buffers.size(), *stream_),
      slots_(static_cast<size_t>(plan.slot_count)) {
  for (size_t b = 0; b < plan.buffers.size(); ++b) {
    const Buffer& buffer = plan.buffers[b];
    if (buffer.kind != Buffer::Kind::kConstant) continue;
    frame_.bind(b, buffer.data != nullptr ? buffer.data.get() : g_nothing);
  }
  if (!is_host()) reserve_for_caller();
}

void RunMemory::reserve_for_caller() {
  std::map<int, std::byte*> states;  // by input: its buffers are the same memory
  for (size_t b = 0; b < plan_.buffers.size(); ++b) {
    const Buffer& buffer = plan_.buffers[b];
    if (buffer.kind == Buffer::Kind::kArena || buffer.kind == Buffer::Kind::kConstant ||
        buffer.kind == Buffer::Kind::kWindow) {
      continue;
    }
    std::byte*& state = states[buffer.kind == Buffer::Kind::kState ? buffer.index : -1];
    if (buffer.kind != Buffer::Kind::kState || state == nullptr) {
      for_caller_.push_back(memory_.allocate(buffer.bytes, "inputs and results"));
      state = for_caller_.back().get();
    }
    frame_.bind(b, state);
  }
}

void RunMemory::give(int buffer, const Tensor& tensor) {
  if (is_host()) return frame_.bind(static_cast<size_t>(buffer), base_of(tensor));
  memory_.write(*stream_, tensor.raw(), frame_.at({buffer, 0}), tensor.nbytes());
}

void RunMemory::fetch(int buffer, Tensor& tensor) const {
  memory_.read(*stream_, frame_.at({buffer, 0}), tensor.mutable_raw(), tensor.nbytes());
}

const std::byte* RunMemory::seen_by_host(const plan::Ref& ref) const {
  if (is_host()) return frame_.at(ref);
  const Buffer& buffer = plan_.buffers[static_cast<size_t>(ref.buffer)];
  if (buffer.kind != Buffer::Kind::kConstant) return nullptr;
  return static_cast<const std::byte*>(base_of(buffer.constant)) + ref.offset;
}

Tensor RunMemory::tensor_at(const plan::Place& place) const {
  if (const std::byte* seen = seen_by_host(place.ref)) {
    return {place.dtype, place.shape, borrowed_owner(), seen};
  }
  Tensor copy(place.dtype, place.shape);
  memory_.read(*stream_, frame_.at(place.ref), copy.mutable_raw(), copy.nbytes());
  return copy;
}

ir::Datum RunMemory::datum_at(const Where& where) const {
  switch (where.kind) {
    case Where::Kind::kPlace:
      return {tensor_at(where.place), nullptr, nullptr};
    case Where::Kind::kSlot:
      return slots_[static_cast<size_t>(where.slot)];
    case Where::Kind::kConstant:
      return {where.constant, nullptr, nullptr};
    case Where::Kind::kNone:
      return {};
  }
  return {};
}

void RunMemory::locate(const plan::Locating& locating) {
  std::array<const std::byte*, plan::MovingPart::kMaxIntegers> integers{};
  const size_t count = locating.integers.size();
  std::array<size_t, plan::MovingPart::kMaxIntegers> starts{};
  integers_.clear();
  for (size_t i = 0; i < count; ++i) {
    const plan::Place& place = locating.integers[i];
    integers[i] = seen_by_host(place.ref);
    if (integers[i] != nullptr) continue;
    starts[i] = integers_.size();
    integers_.resize(integers_.size() + static_cast<size_t>(place.nbytes()));
    memory_.read(*stream_, frame_.at(place.ref), integers_.data() + starts[i], place.nbytes());
  }
  for (size_t i = 0; i < count; ++i) {
    if (integers[i] == nullptr) integers[i] = integers_.data() + starts[i];
  }
  const int64_t offset = locating.position->offset({integers.data(), count});
  frame_.bind(static_cast<size_t>(locating.window), frame_.at(locating.first) + offset);
}

void RunMemory::store(const plan::Place& place, const Tensor& tensor) const {
  std::byte* target = frame_.at(place.ref);
  if (tensor.raw() == target || tensor.count() == 0) return;
  memory_.write(*stream_, tensor.raw(), target, tensor.nbytes());
}

}  // namespace mw::exec
