// Turns of a conversation: rendered, fitted into what the model takes, answered.
#include "lm/chat.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace mw::lm {
namespace {

using Json = nlohmann::ordered_json;

Json message_of(const char* role, const std::string& content) {
  return {{"role", role}, {"content", content}};
}

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

size_t same_beginning(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
  return static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first -
                             a.begin());
}

}  // namespace

Chat::Chat(const LanguageModel& lm, const Model& model, text::ChatTemplate chat,
           const GenerationSettings& settings, std::string system)
    : lm_(lm),
      tokenizer_(model.tokenizer()),
      template_(std::move(chat)),
      settings_(settings),
      system_(std::move(system)),
      now_(text::ChatTemplate::local_seconds()),
      capacity_(lm.has_cache() ? lm.max_total() : lm.shapes().max_time()),
      generator_(lm, tokenizer_, settings),
      stream_(lm) {
  if (settings_.prompt_cache.empty()) return;
  cache_.emplace(settings_.prompt_cache, lm, model);
  if (cache_->is_there()) {
    (void)cache_->read(stream_);
    cached_ = stream_.size();
  } else {
    cache_->expect_writable();
  }
}

// The template writes the special tokens that it wants.
std::vector<int32_t> Chat::ids_of(const std::string& message) const {
  Json line = {{"messages", Json::array()}};
  Json& messages = line["messages"];
  if (!system_.empty()) messages.push_back(message_of("system", system_));
  for (const Turn& turn : turns_) {
    messages.push_back(message_of("user", turn.message));
    messages.push_back(message_of("assistant", turn.answer));
  }
  messages.push_back(message_of("user", message));
  return tokenizer_.encode(template_.render(line, true, now_).text, false);
}

std::optional<std::vector<int32_t>> Chat::fitting(const std::string& message,
                                                  const std::vector<int32_t>& chosen) {
  // An answer is to have as many tokens as it may, but no more than a quarter of all.
  const int64_t wanted = std::max<int64_t>(
      std::min(settings_.max_tokens - static_cast<int64_t>(chosen.size()), capacity_ / 4), 1);
  const size_t turns = turns_.size();
  std::optional<std::vector<int32_t>> found;
  for (;;) {
    std::vector<int32_t> ids = ids_of(message);
    ids.insert(ids.end(), chosen.begin(), chosen.end());
    const int64_t room = capacity_ - static_cast<int64_t>(ids.size());
    if (room >= wanted || (turns_.empty() && room >= 1)) found = std::move(ids);
    if (found || turns_.empty()) break;
    turns_.erase(turns_.begin());
  }
  if (const size_t dropped = turns - turns_.size(); dropped > 0) {
    notes_.push_back(fmt::format("the model takes {} tokens: the {} left out of the conversation",
                                 capacity_,
                                 dropped == 1 ? std::string("oldest turn is")
                                              : fmt::format("{} oldest turns are", dropped)));
  }
  return found;
}

std::vector<int32_t> Chat::fitting_or_throw(const std::string& message) {
  const std::vector<Turn> before = turns_;
  auto ids = fitting(message, {});
  if (ids) return std::move(*ids);
  const size_t count = ids_of(message).size();
  turns_ = before;
  notes_.clear();
  fail(ErrorCode::kInvalidArgument,
       "the message: expected at most {} tokens with what stands around it, got {}; shorten it or "
       "the system text",
       capacity_ - 1, count);
}

// What stands before the first message is what the beginnings of two conversations share. A prompt
// that a call cannot take by itself is not written.
void Chat::use_prompt_cache(const std::vector<int32_t>& text, const GeneratorHooks& hooks) {
  if (cached_ > 0) {
    stream_.keep_beginning_of(text, static_cast<int64_t>(text.size()) - 1);
    notes_.push_back(cache_->used(cached_, stream_.size()));
    return;
  }
  std::vector<int32_t> shared = text;
  for (const char* other : {"a", "The same"}) shared.resize(same_beginning(shared, ids_of(other)));
  if (lm_.shapes().longest(static_cast<int64_t>(shared.size())) == 0) {
    notes_.push_back(cache_->not_written(static_cast<int64_t>(shared.size())));
    return;
  }
  if (const auto logits = generator_.read(stream_, shared, hooks)) {
    cache_->write(stream_, *logits);
    notes_.push_back(cache_->written(stream_.size()));
  }
  run_ahead_ = stream_.size();
}

Generation Chat::ask(const std::string& message, GeneratorHooks hooks) {
  notes_.clear();
  hooks.before = TextBefore::kApart;
  if (capacity_ < std::numeric_limits<int64_t>::max()) hooks.limit = capacity_;
  hooks.shorten = [&](const std::vector<int32_t>& chosen) -> std::optional<std::vector<int32_t>> {
    if (turns_.empty()) return std::nullopt;
    return fitting(message, chosen);
  };
  const std::vector<int32_t> ids = fitting_or_throw(message);
  Generation said;
  try {
    const double started = now();
    if (cache_) use_prompt_cache(ids, hooks);
    cache_.reset();
    const double ahead = now() - started;
    said = generator_.run(stream_, ids, hooks);
    said.first_token_seconds += ahead;
    said.reused_tokens -= std::min(std::exchange(run_ahead_, 0), said.reused_tokens);
  } catch (...) {
    (void)stream_.truncate(0);  // part of a text may have gone into the states
    throw;
  }
  said.notes.insert(said.notes.begin(), notes_.begin(), notes_.end());
  if (said.end != GenerationEnd::kOnText || !said.ids.empty()) {
    turns_.push_back({message, said.text});
  }
  return said;
}

}  // namespace mw::lm
