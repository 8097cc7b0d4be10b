// LanguageModel::Stream: a text that grows, by the model's cache or in a window.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "lm/language_model.h"

namespace mw::lm {

LanguageModel::Stream::Stream(const LanguageModel& model) : model_(model) {
  if (model.has_cache()) calls_.emplace(model.entry());
}

std::vector<float> LanguageModel::Stream::extend(const std::vector<int32_t>& ids) {
  if (ids.empty()) fail(ErrorCode::kInvalidArgument, "the prompt has no tokens");
  if (calls_) {
    std::vector<float> next;
    calls_->extend(ids, Calls::Want::kLast, [&](int64_t begin, const Logits& logits) {
      if (begin + logits.positions() == calls_->size()) {
        next = logits.row(0, logits.positions() - 1);
      }
    });
    return next;
  }
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  const int64_t window = std::min(size(), model_.shapes().max_time());
  const std::vector<int32_t> tail(ids_.end() - window, ids_.end());
  tokens_run_ += cost(0);
  const Logits logits = model_.last(Tensor::from(tail, {1, window}));
  last_only_ = logits.last_only();
  return logits.row(0, logits.positions() - 1);
}

bool LanguageModel::Stream::truncate(int64_t count) {
  if (calls_) return calls_->truncate(count);
  if (count < size()) ids_.resize(static_cast<size_t>(count));
  return true;
}

void LanguageModel::Stream::keep_beginning_of(const std::vector<int32_t>& ids, int64_t most) {
  const std::vector<int32_t>& have = this->ids();
  const auto same = std::mismatch(have.begin(), have.end(), ids.begin(), ids.end()).first;
  if (!truncate(std::min<int64_t>(same - have.begin(), most))) (void)truncate(0);
}

LanguageModel::Stream::Snapshot LanguageModel::Stream::snapshot() const {
  return calls_ ? calls_->snapshot() : Snapshot();
}

void LanguageModel::Stream::restore(const Snapshot& snapshot) {
  if (calls_) return calls_->restore(snapshot);
  ids_ = snapshot.ids;
}

int64_t LanguageModel::Stream::size() const {
  return calls_ ? calls_->size() : static_cast<int64_t>(ids_.size());
}

int64_t LanguageModel::Stream::tokens_run() const {
  return calls_ ? calls_->tokens_run() : tokens_run_;
}

int64_t LanguageModel::Stream::cost(int64_t count) const {
  if (calls_) return calls_->cost(count);
  const CallShapes& shapes = model_.shapes();
  const int64_t time = std::min(size() + count, shapes.max_time());
  const auto shape = shapes.padded({1, time});
  return shape ? shape->batch * shape->time : time;
}

std::string LanguageModel::Stream::obstacle() const {
  if (calls_) return calls_->is_full() ? "the cache is full" : "";
  const int64_t window = std::min(size() + 1, model_.shapes().max_time());
  const auto call = model_.shapes().padded({1, window});
  const bool fits = call && (call->time == window || model_.pads_are_left_out(*call));
  if (!last_only_ || fits) return "";  // rows that are added say nothing
  return fmt::format("the model takes {} tokens, not {}", model_.shapes().times_text(), window);
}

}  // namespace mw::lm
