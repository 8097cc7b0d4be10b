// Watch: patterns and the sanitizer's bounds around the steps of a run.
#include "exec/watch.h"

#include <algorithm>

namespace mw::exec {

using plan::Buffer;

std::unique_ptr<Watch> Watch::make(const plan::Plan& plan, bool poison) {
  if (!plan.backend->memory().is_host()) return nullptr;
  Poison fill = poison_mode();
  if (fill == Poison::kNone && poison) fill = Poison::kNan;
  if (fill == Poison::kNone && !kSanitized) return nullptr;
  return std::unique_ptr<Watch>(new Watch(plan, fill));
}

Watch::Watch(const plan::Plan& plan, Poison fill)
    : plan_(plan), fill_(fill), touch_(plan.steps.size()), end_(plan.steps.size()) {
  std::vector<bool> taken_over(plan.buffers.size(), false);
  for (const Buffer& buffer : plan.buffers) {
    if (buffer.shares >= 0) taken_over[static_cast<size_t>(buffer.shares)] = true;
  }
  for (size_t b = 0; b < plan.buffers.size(); ++b) {
    const Buffer& buffer = plan.buffers[b];
    if (buffer.kind != Buffer::Kind::kArena || buffer.first < 0) continue;
    arena_.push_back(static_cast<int>(b));
    if (!taken_over[b]) end_[static_cast<size_t>(buffer.last)].push_back(static_cast<int>(b));
  }
  for (size_t s = 0; s < plan.steps.size(); ++s) {
    for (const std::vector<int>* list : {&plan.steps[s].reads, &plan.steps[s].writes}) {
      std::copy_if(list->begin(), list->end(), std::back_inserter(touch_[s]), [&](int b) {
        return plan.buffers[static_cast<size_t>(b)].kind == Buffer::Kind::kArena;
      });
    }
  }
}

std::byte* Watch::at(int buffer, const plan::Frame& frame) const { return frame.at({buffer, 0}); }

int64_t Watch::bytes_of(int buffer) const {
  return plan_.buffers[static_cast<size_t>(buffer)].bytes;
}

void Watch::begin(const plan::Frame& frame) {
  for (const int b : arena_) {
    allow(at(b, frame), bytes_of(b));
    fill_with(fill_, at(b, frame), bytes_of(b));
  }
  for (const int b : arena_) forbid(at(b, frame), bytes_of(b));
}

void Watch::before(size_t step, const plan::Frame& frame) const {
  for (const int b : touch_[step]) allow(at(b, frame), bytes_of(b));
}

void Watch::after(size_t step, const plan::Frame& frame) const {
  for (const int b : end_[step]) fill_with(fill_, at(b, frame), bytes_of(b));
  for (const int b : touch_[step]) forbid(at(b, frame), bytes_of(b));
}

}  // namespace mw::exec
