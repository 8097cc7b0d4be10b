// How many tokens each call takes, and which go through twice.
#include "lm/calls.h"

#include <algorithm>

#include "base/error.h"

namespace mw::lm {
namespace {

// Beside a function whose cache holds the first tokens: one for those behind them.
constexpr const char* kSlidingFunction = "infer_rotate";

}  // namespace

void Calls::extend(const std::vector<int32_t>& ids, Want want, const Visit& visit) {
  const int64_t places = entry_.roles().places();
  if (static_cast<int64_t>(ids.size()) > places - size()) {
    const bool slides = entry_.model().beside(kSlidingFunction) != nullptr;
    fail(ErrorCode::kInvalidArgument,
         "the cache holds {} tokens and is full{}; shorten the prompt or lower {}", places,
         slides ? fmt::format(": the function '{}', whose window slides on, is run by name only",
                              kSlidingFunction)
                : "",
         setting("max_tokens"));
  }
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  // For few tokens a function without the head is not worth making.
  const bool skips = want == Want::kLast && size() - cached_ > Entry::kFewTokens;
  while (cached_ < size()) {
    const Call call = next(entry_, cached_, size(), want);
    const bool is_last = call.begin + call.count == size();
    const Reads reads = want == Want::kLast && is_last ? Reads::kLast
                        : skips                        ? Reads::kNothing
                                                       : Reads::kEvery;
    run(call, reads, visit);
  }
}

std::vector<Calls::Call> Calls::of_text(const Entry& entry, int64_t time, Want want) {
  std::vector<Call> calls;
  for (int64_t cached = 0; cached < time; cached = calls.back().begin + calls.back().count) {
    calls.push_back(next(entry, cached, time, want));
  }
  return calls;
}

// A call that gives logits for its last token only ends at each one in turn.
Calls::Call Calls::next(const Entry& entry, int64_t cached, int64_t end, Want want) {
  if (want == Want::kLast) {
    if (const Call fills = filling(entry, cached, end); fills.count > 0) return fills;
  }
  Call call = longest(entry, cached, end);
  call.last_only = entry.last_only({1, call.count + call.pads});
  if (want == Want::kLast || !call.last_only) return call;
  call = longest(entry, cached, cached + 1);
  call.last_only = entry.last_only({1, call.count + call.pads});
  return call;
}

Calls::Call Calls::longest(const Entry& entry, int64_t cached, int64_t end) {
  const CallShapes& shapes = entry.roles().shapes();
  const int64_t rest = end - cached, count = shapes.longest(rest);
  if (count > 0) return {cached, count, 0};
  const int64_t least = shapes.min_time();
  if (!entry.roles().can_rewrite()) {
    fail(ErrorCode::kUnsupported,
         "{} takes {} tokens a call, and the last {} of {} tokens are fewer",
         entry.roles().ids_input().name, shapes.times_text(), rest, end);
  }
  return end >= least ? Call{end - least, least, 0} : Call{0, end, least - end};
}

Calls::Call Calls::filling(const Entry& entry, int64_t cached, int64_t end) {
  const int64_t count = end - 1 - cached;
  const Filler* filler = count > 1 ? entry.filler() : nullptr;
  if (filler == nullptr) return {};
  const int64_t taken = filler->takes(count, entry.roles().places() - cached);
  return {.begin = cached, .count = taken, .pads = filler->block() - taken, .fills = true};
}

void Calls::run(const Call& call, Reads reads, const Visit& visit) {
  std::vector<int32_t> part(ids_.begin() + call.begin, ids_.begin() + call.begin + call.count);
  const int64_t time = call.count + call.pads, end = call.begin + call.count;
  part.resize(static_cast<size_t>(time));
  if (call.pads > 0 && call.last_only) entry_.fail_last_only(call.count);
  const Tensor ids = Tensor::from(part, {1, time});
  const Place place = {.past = call.begin, .pads = call.pads};
  std::optional<Logits> logits;
  if (call.fills) {
    entry_.filler()->run(ids, place, memory_.states);
  } else if (reads == Reads::kNothing) {
    entry_.run_for_memory(ids, place, memory_);
  } else if (reads == Reads::kLast) {
    logits = entry_.run_for(ids, place, memory_, call.count - 1);
  } else {
    logits = entry_.run(ids, place, memory_);
  }
  cached_ = end;
  tokens_run_ += time;
  if (!logits) return;
  const bool one = logits->last_only() || reads == Reads::kLast;
  visit(one ? end - 1 : call.begin, one ? *logits : logits->cut(1, call.count));
}

int64_t Calls::cost(int64_t count) const {
  const CallShapes& shapes = entry_.roles().shapes();
  const int64_t end = size() + count;
  int64_t tokens = 0;
  for (int64_t cached = cached_; cached < end;) {
    if (const Call fills = filling(entry_, cached, end); fills.count > 0) {
      tokens += fills.count + fills.pads;
      cached += fills.count;
      continue;
    }
    const int64_t call = shapes.longest(end - cached);
    tokens += call > 0 ? call : shapes.min_time();
    cached = call > 0 ? cached + call : end;
  }
  return tokens;
}

}  // namespace mw::lm
