// Chat: a conversation with a language model, turn by turn, whose states stay from one to the next.
//
//   lm::Chat chat(lm, model, template, {.max_tokens = 200}, "Be brief.");
//   lm::GeneratorHooks hooks;
//   hooks.on_text = print;
//   Generation answer = chat.ask("What is a cow?", hooks);
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lm/generate.h"
#include "lm/prompt_cache.h"
#include "text/chat_template.h"

namespace mw::lm {

class Chat {
 public:
  // `system`: a text that stands before all turns; empty: none. What the settings say of a prompt
  // cache is of what stands before the first message. Throws as Generator() and PromptCache do. The
  // model outlives this.
  Chat(const LanguageModel& lm, const Model& model, text::ChatTemplate chat,
       const GenerationSettings& settings, std::string system);

  // The answer to a message. What the model's states hold of the conversation is not run again.
  // Where all of it has no place beside an answer, the oldest turns are left out for good, also in
  // the middle of an answer; the notes tell of it. Throws invalid_argument, and the conversation
  // stays as it was, for a message that the template refuses or that has no place even so.
  Generation ask(const std::string& message, GeneratorHooks hooks);

  void forget_turns() { turns_.clear(); }
  void set_system(std::string system) { system_ = std::move(system); }

 private:
  struct Turn {
    std::string message, answer;
  };

  [[nodiscard]] std::vector<int32_t> ids_of(const std::string& message) const;
  // The conversation, with the tokens of an answer so far at its end; nothing where even the last
  // message alone has no place. Leaves out turns until there is place.
  std::optional<std::vector<int32_t>> fitting(const std::string& message,
                                              const std::vector<int32_t>& chosen);
  std::vector<int32_t> fitting_or_throw(const std::string& message);
  void use_prompt_cache(const std::vector<int32_t>& text, const GeneratorHooks& hooks);

  const LanguageModel& lm_;
  const Tokenizer& tokenizer_;
  text::ChatTemplate template_;
  GenerationSettings settings_;
  std::string system_;
  int64_t now_;       // what a template says of the time stays as it is
  int64_t capacity_;  // tokens; INT64_MAX: any
  Generator generator_;
  LanguageModel::Stream stream_;
  std::vector<Turn> turns_;
  std::vector<std::string> notes_;
  // Until the first answer: it is of use then.
  std::optional<PromptCache> cache_;
  int64_t cached_ = 0;     // tokens of its file
  int64_t run_ahead_ = 0;  // tokens of this turn that were run to write it
};

}  // namespace mw::lm
