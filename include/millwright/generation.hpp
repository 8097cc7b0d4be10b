// Settings of text that a language model writes, once each as in settings.hpp; and what came of it.
#pragma once

#include <functional>

#include "millwright/settings.hpp"

namespace mw {

// Added to the logit of one token before anything else is done with the logits.
struct LogitBias {
  // An id (42); a text that is one token (" the"); or such a text in double quotes, as JSON has it
  // ("42").
  std::string token;
  float bias = 0;  // minus infinity: the token never comes

  static constexpr const char* kName = "LogitBias";
  static constexpr const char* kHelp = "what is added to the logit of one token";
  template <class Self, class Visitor>
  static void each(Self& self, const Visitor& v) {
    v("token", self.token, allowed::kAnything,
      "an id, or a text that is one token; in double quotes always a text");
    v("bias", self.bias, Allowed{.below_most = true}, "-inf: it never comes");
  }
};

// In this order: logit_bias, repetition_penalty, temperature, top_k, top_p, min_p.
// docs/language-models.md has the formulas.
struct GenerationSettings {
  int64_t max_tokens = 100;
  float temperature = 0;  // 0: the likeliest
  int64_t top_k = 0;      // of the k likeliest only; 0: of all
  float top_p = 1;        // of the likeliest that hold this probability together
  float min_p = 0;        // of those at least so likely, relative to the likeliest
  float repetition_penalty = 1;
  int64_t repetition_window = 64;  // last tokens, the prompt's among them; 0: all
  uint64_t seed = 0;
  std::vector<LogitBias> logit_bias;
  // Texts that end it; neither they nor a part of one is given out.
  std::vector<std::string> stop;
  std::vector<int64_t> stop_ids;
  bool ignore_end = false;  // the end-of-text token is a token like any other
  std::string target;       // the output with the logits; empty: chosen as for training
  // States after the prompt: read where the file is there, else written. Empty: none.
  std::filesystem::path prompt_cache;

  static constexpr const char* kName = "GenerationSettings";
  static constexpr const char* kHelp = "how a text is continued";
  template <class Self, class Visitor>
  static void each(Self& self, const Visitor& v) {
    v("max_tokens", self.max_tokens, allowed::kCountOrNone, "tokens to generate at most");
    v("temperature", self.temperature, Allowed{.least = 0, .most = 100}, "0: greedy");
    v("top_k", self.top_k, allowed::kCountOrNone, "sample among the k likeliest (0: all)");
    v("top_p", self.top_p, Allowed{.least = 1e-9, .most = 1},
      "sample among the likeliest that hold this probability");
    v("min_p", self.min_p, allowed::kShare,
      "sample among those at least so likely, relative to the likeliest");
    v("repetition_penalty", self.repetition_penalty, allowed::kAboveZero,
      "logits of tokens that came are divided by it, negative ones multiplied (1: none)");
    v("repetition_window", self.repetition_window, allowed::kCountOrNone,
      "last tokens that count as having come, those of the prompt among them (0: all)");
    v("seed", self.seed, allowed::kAtLeastZero, "seed of the sampling");
    v("logit_bias", self.logit_bias, allowed::kAnything,
      "TOKEN=NUMBER: added to the logit of an id, or of a text that is one token; -inf: never");
    v("stop", self.stop, allowed::kAnything, "end before this text");
    v("stop_ids", self.stop_ids, Allowed{.least = 0, .most = 2147483647}, "end before this token");
    v("ignore_end", self.ignore_end, allowed::kAnything, "go on after the end token");
    v("target", self.target, allowed::kAnything, "name of the logits output");
    v("prompt_cache", self.prompt_cache, allowed::kAnything,
      "file with the model's states after the prompt: read where it is there, else written");
  }
};

// Why a text ends.
enum class GenerationEnd : uint8_t {
  kMaxTokens,
  kEndOfText,  // the token that says so
  kStop,       // one of the texts
  kStopIds,
  kOnText,  // the callback
  kFull,    // the model takes no more tokens
};
template <>
struct Choices<GenerationEnd> {
  static constexpr std::array kNames = {"max_tokens", "end_of_text", "stop",
                                        "stop_ids",   "on_text",     "full"};
};

struct Generation {
  std::string text;          // without the prompt; what the callback was given, joined
  std::vector<int32_t> ids;  // all that were chosen, but for the one that ended it
  GenerationEnd end = GenerationEnd::kMaxTokens;
  std::string reason;              // in words: "end of text"
  int64_t prompt_tokens = 0;       // of which
  int64_t reused_tokens = 0;       // were in the model's states already
  double first_token_seconds = 0;  // from the call to the first token
  double seconds = 0;              // from there to the end
  int64_t runs = 0;                // of the model, in those
  std::vector<std::string> notes;  // sentences on the prompt cache
  [[nodiscard]] double tokens_per_second() const {
    return runs > 0 ? static_cast<double>(runs) / seconds : 0;
  }
};

// Told each piece of text as it comes, whole characters; false ends the text there.
using OnText = std::function<bool(const std::string& piece)>;

}  // namespace mw
