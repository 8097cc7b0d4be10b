// TextCalls: what a text becomes that a language model takes in several calls, with its cache.
#pragma once

#include <cstdint>
#include <string>

#include "lm/language_model.h"
#include "ops/rewrites/unroll_calls.h"

namespace mw::training {

class TextCalls {
 public:
  // `language` outlives this. `text`, a name that the model leaves free, is that of the tokens
  // [1, time]; `target`, of the logits [1, time, classes].
  // `floats`: what the program is computed in. `cut_every`: as ops::TextOfCalls has it.
  TextCalls(const lm::LanguageModel& language, std::string text, std::string target, DType floats,
            int64_t cut_every);

  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] const std::string& target() const { return target_; }
  [[nodiscard]] int64_t shortest() const;  // number of tokens that one call takes
  // For calls of this function. Throws where the model does not take such a text, or no logits of
  // every token come of it, or so many calls would make too long a program.
  [[nodiscard]] ops::TextOfCalls of(int64_t time, const ir::Function& called) const;

 private:
  const lm::LanguageModel& language_;
  std::string text_, target_;
  DType floats_;
  int64_t cut_every_;
};

}  // namespace mw::training
