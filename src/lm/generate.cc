// The loop of generation: prompt, choice, what ends the text.
#include "lm/generate.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "lm/stop_texts.h"

namespace mw::lm {
namespace {

// A prompt goes in by about so many tokens, between which somebody may end it.
constexpr int64_t kTokensBetweenQuestions = 128;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// "\"42\"" is the text 42.
std::string text_in(const std::string& token) {
  if (token.size() < 2 || token.front() != '"' || token.back() != '"') return token;
  const auto text = nlohmann::json::parse(token, nullptr, false);
  return text.is_string() ? text.get<std::string>() : token;
}

SamplerOptions sampler_options(const GenerationSettings& settings, const Tokenizer& tokenizer) {
  SamplerOptions options{.temperature = settings.temperature,
                         .top_k = settings.top_k,
                         .top_p = settings.top_p,
                         .min_p = settings.min_p,
                         .repetition_penalty = settings.repetition_penalty,
                         .repetition_window = settings.repetition_window,
                         .seed = settings.seed,
                         .bias = {}};
  for (const LogitBias& one : settings.logit_bias) {
    options.bias[biased_id(one.token, tokenizer)] += one.bias;
  }
  return options;
}

void check_stops(const std::vector<std::string>& stops, const Tokenizer& tokenizer) {
  for (const std::string& stop : stops) {
    if (stop.empty()) {
      fail(ErrorCode::kInvalidArgument, "{}: expected a text of at least one character, got none",
           setting("stop"));
    }
    in_context([] { return setting("stop"); }, [&] { return tokenizer.encode(stop, false); });
  }
}

}  // namespace

int32_t biased_id(const std::string& token, const Tokenizer& tokenizer) {
  int32_t id = 0;
  const char *begin = token.data(), *end = begin + token.size();
  if (const auto read = std::from_chars(begin, end, id);
      read.ec == std::errc() && read.ptr == end && id >= 0) {
    return id;
  }
  const std::string text = text_in(token);
  const auto ids = in_context([] { return setting("logit_bias"); },
                              [&] { return tokenizer.encode(text, false); });
  if (ids.size() == 1) return ids[0];
  if (const auto known = tokenizer.token_to_id(text)) return *known;
  fail(ErrorCode::kInvalidArgument,
       "{}: expected an id or a text that is one token, got '{}', which is {} tokens ({})",
       setting("logit_bias"), text, ids.size(), fmt::join(ids, ", "));
}

// One run of a Generator.
class Continuation {
 public:
  Continuation(Generator& generator, LanguageModel::Stream& stream, const GeneratorHooks& hooks)
      : model_(generator.model_),
        tokenizer_(generator.tokenizer_),
        settings_(generator.settings_),
        sampler_(generator.sampler_),
        stream_(stream),
        hooks_(hooks),
        decoder_(generator.tokenizer_),
        stops_(generator.settings_.stop) {}

  Generation run(const std::vector<int32_t>& text) {
    const double started = now();
    done_.prompt_tokens = static_cast<int64_t>(text.size());
    const bool ready = follow(text);
    if (model_.has_cache()) done_.reused_tokens = kept_;
    if (!logits_.empty()) tokenizer_.check_fits(static_cast<int64_t>(logits_.size()));
    if (ready && hooks_.on_ready) hooks_.on_ready(logits_, done_.reused_tokens);
    const double prefilled = now();
    done_.first_token_seconds = prefilled - started;
    if (ready) {
      try {
        if (decode(text)) {
          while (goes_on()) ++done_.runs;
        }
      } catch (const Error&) {
        finish();
        throw;
      }
    }
    finish();
    done_.seconds = now() - prefilled;
    return std::move(done_);
  }

  std::optional<std::vector<float>> read(const std::vector<int32_t>& text) {
    if (!follow(text)) return std::nullopt;
    return std::move(logits_);
  }

 private:
  // The stream holds `text`, and the logits are those of what follows. False: somebody ended it.
  bool follow(const std::vector<int32_t>& text) {
    const auto count = static_cast<int64_t>(text.size());
    const bool knows = logits_.empty() && !hooks_.logits.empty() && stream_.ids() == text;
    if (knows) logits_ = hooks_.logits;
    // What the last token says is known from a run of it.
    stream_.keep_beginning_of(text, knows ? count : std::max<int64_t>(count - 1, 0));
    kept_ = stream_.size();
    while (stream_.size() < count || count == 0) {
      const int64_t part = std::min(count - stream_.size(), largest_part());
      if (hooks_.may_run && !hooks_.may_run(stream_.cost(part))) return ended_by_callback();
      const auto begin = text.begin() + stream_.size();
      logits_ = stream_.extend({begin, begin + part});
    }
    return true;
  }

  // Whole calls of the largest size; without a cache each part would be a run of all before it.
  [[nodiscard]] int64_t largest_part() const {
    const int64_t call = model_.shapes().max_time();
    if (!model_.has_cache() || call >= kTokensBetweenQuestions) {
      return std::numeric_limits<int64_t>::max();
    }
    return (kTokensBetweenQuestions + call - 1) / call * call;
  }

  // The text before, for the decoder.
  bool decode(const std::vector<int32_t>& text) {
    if (hooks_.before == TextBefore::kApart) return true;
    std::string decoded;
    for (const int32_t id : text) decoded += decoder_.push(id);
    if (hooks_.before == TextBefore::kTold) return tell_on(decoded) || ended_by_callback();
    const std::string whole = tokenizer_.decode(text);
    if (whole.starts_with(decoded)) owed_ = whole.substr(decoded.size());
    return true;
  }

  // Whether there are logits for one more token.
  bool goes_on() {
    if (count() == settings_.max_tokens) return ended(GenerationEnd::kMaxTokens);
    const int32_t id = sampler_.next(logits_, stream_.ids());
    if (!settings_.ignore_end && tokenizer_.is_end_of_text(id)) {
      return ended(GenerationEnd::kEndOfText);
    }
    const auto& stop_ids = settings_.stop_ids;
    if (std::find(stop_ids.begin(), stop_ids.end(), id) != stop_ids.end() ||
        (hooks_.ends && hooks_.ends(id))) {
      return ended(GenerationEnd::kStopIds);
    }
    const std::string piece = decoder_.push(id);
    done_.ids.push_back(id);
    if (!tell(stops_.push(without_owed(piece)))) return ended_by_callback();
    if (stops_.found()) return ended(GenerationEnd::kStop);
    if (count() == settings_.max_tokens) return ended(GenerationEnd::kMaxTokens);
    return run_on(id);
  }

  bool run_on(int32_t id) {
    std::string obstacle = stream_.obstacle();
    if (obstacle.empty() && hooks_.limit && stream_.size() >= *hooks_.limit) {
      obstacle = fmt::format("the model takes {} tokens", *hooks_.limit);
    }
    if (!obstacle.empty()) {
      const auto shorter = hooks_.shorten ? hooks_.shorten(done_.ids) : std::nullopt;
      if (shorter) return follow(*shorter);
      done_.reason = obstacle;
      return ended(GenerationEnd::kFull);
    }
    if (hooks_.may_run && !hooks_.may_run(stream_.cost(1))) return ended_by_callback();
    logits_ = stream_.extend({id});
    return true;
  }

  // What the decoder still owed of the text before comes with the first new piece.
  std::string without_owed(const std::string& piece) {
    if (piece.empty() || owed_.empty()) return piece;
    const std::string owed = std::exchange(owed_, {});
    return piece.starts_with(owed) ? piece.substr(owed.size()) : piece;
  }

  bool tell(const std::string& piece) {
    done_.text += piece;
    return tell_on(piece);
  }
  bool tell_on(const std::string& piece) {
    if (!piece.empty() && hooks_.on_text && !hooks_.on_text(piece)) refused_ = true;
    return !refused_;
  }

  bool ended_by_callback() { return ended(GenerationEnd::kOnText); }
  bool ended(GenerationEnd end) {
    done_.end = end;
    return false;
  }

  // What was held back is told, unless nobody wants to hear more.
  void finish() {
    const std::string last = stops_.push(without_owed(decoder_.flush()));
    if (!refused_) (void)tell(last + stops_.flush());
    if (stops_.found() && !refused_) done_.end = GenerationEnd::kStop;
    if (done_.end != GenerationEnd::kFull) done_.reason = reason();
  }

  [[nodiscard]] std::string reason() const {
    switch (done_.end) {
      case GenerationEnd::kMaxTokens:
        return "reached max_tokens";
      case GenerationEnd::kEndOfText:
        return "end of text";
      case GenerationEnd::kStop:
        return "a stop text";
      case GenerationEnd::kStopIds:
        return "a stop token";
      case GenerationEnd::kOnText:
        return "interrupted";
      case GenerationEnd::kFull:
        break;
    }
    return done_.reason;
  }

  [[nodiscard]] int64_t count() const { return static_cast<int64_t>(done_.ids.size()); }

  const LanguageModel& model_;
  const Tokenizer& tokenizer_;
  const GenerationSettings& settings_;
  Sampler& sampler_;
  LanguageModel::Stream& stream_;
  const GeneratorHooks& hooks_;
  StreamDecoder decoder_;
  StopTexts stops_;
  std::vector<float> logits_;
  std::string owed_;
  bool refused_ = false;  // by the callback
  int64_t kept_ = 0;
  Generation done_;
};

Generator::Generator(const LanguageModel& model, const Tokenizer& tokenizer,
                     GenerationSettings settings)
    : model_(model),
      tokenizer_(tokenizer),
      settings_(std::move(settings)),
      sampler_(sampler_options(settings_, tokenizer)) {
  check_stops(settings_.stop, tokenizer);
  if (settings_.temperature > 0) model.entry().expect_logits("sampling at a temperature");
}

Generation Generator::run(LanguageModel::Stream& stream, const std::vector<int32_t>& text,
                          const GeneratorHooks& hooks) {
  return Continuation(*this, stream, hooks).run(text);
}

std::optional<std::vector<float>> Generator::read(LanguageModel::Stream& stream,
                                                  const std::vector<int32_t>& text,
                                                  const GeneratorHooks& hooks) {
  return Continuation(*this, stream, hooks).read(text);
}

}  // namespace mw::lm
