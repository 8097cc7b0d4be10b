// Generator: continues a text by a language model, token by token, until something ends it.
//
//   const lm::LanguageModel lm(model);
//   lm::LanguageModel::Stream stream(lm);
//   lm::Generator generator(lm, tokenizer, {.max_tokens = 40, .stop = {"\n"}});
//   Generation said = generator.run(stream, tokenizer.encode("To be"), {.on_text = print});
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "lm/language_model.h"
#include "lm/sampler.h"
#include "millwright/generation.hpp"
#include "millwright/tokenizer.hpp"

namespace mw::lm {

// What becomes of the text that is continued.
enum class TextBefore : uint8_t {
  kLeftOut,  // the continuation alone is given out, as it stands behind that text
  kTold,     // the callback is given that text, too
  kApart,    // the continuation is decoded as a text of its own
};

struct GeneratorHooks {
  OnText on_text;
  TextBefore before = TextBefore::kLeftOut;
  // Of what follows the text of the stream, where they are known; empty: they are not.
  std::vector<float> logits;
  // Told once the stream holds the text, with the logits of what follows, and how many of its
  // tokens were in the states already.
  std::function<void(const std::vector<float>& logits, int64_t reused)> on_ready;
  // Asked before each call of the model, with the tokens that it is to be given; false ends the
  // text as the callback does. A prompt goes in as several calls where a call takes few tokens.
  std::function<bool(int64_t tokens)> may_run;
  // Tokens that end the text, besides those of the settings.
  std::function<bool(int32_t id)> ends;
  // The tokens that the text may have, if that is less than the model takes.
  std::optional<int64_t> limit;
  // When no more tokens fit: the text to go on from instead, with those chosen so far at its end;
  // nothing ends the text.
  std::function<std::optional<std::vector<int32_t>>(const std::vector<int32_t>& chosen)> shorten;
};

class Generator {
 public:
  // Throws invalid_argument for an empty stop text and for a biased text that is not one token,
  // unsupported for a temperature where the model names the likeliest token only. The
  // model and the tokenizer outlive this. `settings` are checked already, each by itself.
  Generator(const LanguageModel& model, const Tokenizer& tokenizer, GenerationSettings settings);

  // Continues `text`, with a token in it. What `stream` holds of its beginning is not run again.
  // Where the model or the sampling fails, the text so far has been told whole.
  Generation run(LanguageModel::Stream& stream, const std::vector<int32_t>& text,
                 const GeneratorHooks& hooks);
  // The stream holds `text`, and nothing is chosen: the logits of what follows; nothing where
  // somebody ended it.
  std::optional<std::vector<float>> read(LanguageModel::Stream& stream,
                                         const std::vector<int32_t>& text,
                                         const GeneratorHooks& hooks);

 private:
  friend class Continuation;

  const LanguageModel& model_;
  const Tokenizer& tokenizer_;
  GenerationSettings settings_;
  Sampler sampler_;
};

// The id that `token` of a LogitBias means. Throws invalid_argument with the tokens that a text has
// which is not one.
int32_t biased_id(const std::string& token, const Tokenizer& tokenizer);

}  // namespace mw::lm
