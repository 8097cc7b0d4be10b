// LanguageModel::Stream: a text that grows, by the model's cache or in a window.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "lm/language_model.h"

namespace mw::lm {

// Whether rows of the cache that were written once may be written again, or with tokens that stand
// for nothing: every state has a place for each token, and the mask says how many of them count.
bool LanguageModel::can_rewrite() const {
  const auto states = model_.states();
  return roles_.has_causal_mask() &&
         std::all_of(states.begin(), states.end(), [&](const FeatureDescription& state) {
           return std::find(state.shape.begin(), state.shape.end(), max_total()) !=
                  state.shape.end();
         });
}

LanguageModel::Stream::Stream(const LanguageModel& model)
    : model_(model), states_(model.model_.make_states()) {}

std::vector<float> LanguageModel::Stream::extend(const std::vector<int32_t>& ids) {
  if (ids.empty()) fail(ErrorCode::kInvalidArgument, "the prompt has no tokens");
  if (model_.has_cache_ && static_cast<int64_t>(ids.size()) > model_.max_total() - size()) {
    fail(ErrorCode::kInvalidArgument,
         "the cache holds {} tokens and is full; shorten the prompt or lower {}",
         model_.max_total(), setting("max_tokens"));
  }
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  if (model_.has_cache_) return extend_cache();
  const int64_t window = std::min(size(), model_.shapes().max_time());
  const std::vector<int32_t> tail(ids_.end() - window, ids_.end());
  tokens_run_ += cost(0);
  const Logits logits = model_.logits(Tensor::from(tail, {1, window}));
  last_only_ = logits.last_only();
  return logits.row(0, logits.positions() - 1);
}

int64_t LanguageModel::Stream::cost(int64_t count) const {
  const CallShapes& shapes = model_.shapes();
  const auto padded = [&](int64_t time) {
    const auto shape = shapes.padded({1, time});
    return shape ? shape->batch * shape->time : time;
  };
  if (!model_.has_cache_) return padded(std::min(size() + count, shapes.max_time()));
  int64_t tokens = 0;
  for (int64_t rest = size() + count - cached_; rest > 0;) {
    const int64_t call = std::max<int64_t>(shapes.longest(rest), 0);
    tokens += call > 0 ? call : padded(rest);
    rest -= call > 0 ? call : rest;
  }
  return tokens;
}

std::string LanguageModel::Stream::obstacle() const {
  if (model_.has_cache_) return size() < model_.max_total() ? "" : "the cache is full";
  const int64_t window = std::min(size() + 1, model_.shapes().max_time());
  const auto call = model_.shapes().padded({1, window});
  if (!last_only_ || (call && call->time == window)) return "";  // rows that are added say nothing
  return fmt::format("the model takes {} tokens, not {}", model_.shapes().times_text(), window);
}

std::vector<float> LanguageModel::Stream::run(int64_t begin, int64_t count, int64_t pads) {
  std::vector<int32_t> part(ids_.begin() + begin, ids_.begin() + begin + count);
  part.resize(static_cast<size_t>(count + pads));
  const Tensor ids = Tensor::from(part, {1, count + pads});
  const Logits logits = model_.run(model_.inputs_for(ids, begin, pads), {1, count + pads}, states_);
  if (pads > 0 && logits.last_only()) model_.fail_last_only(count);
  cached_ = begin + count;
  tokens_run_ += count + pads;
  return logits.row(0, logits.last_only() ? 0 : count - 1);
}

// In calls as long as the model takes. Where it takes no call as short as the rest, the last tokens
// go through once more; a text that is shorter than any call is padded.
std::vector<float> LanguageModel::Stream::extend_cache() {
  std::vector<float> next;
  while (cached_ < size()) {
    const int64_t rest = size() - cached_, count = model_.shapes().longest(rest);
    if (count > 0) {
      next = run(cached_, count, 0);
      continue;
    }
    const int64_t least = model_.shapes().min_time();
    if (!model_.can_rewrite()) {
      fail(ErrorCode::kUnsupported,
           "input_ids takes {} tokens a call, and the last {} of {} tokens are fewer",
           model_.shapes().times_text(), rest, size());
    }
    next = size() >= least ? run(size() - least, least, 0) : run(0, size(), least - size());
  }
  return next;
}

}  // namespace mw::lm
