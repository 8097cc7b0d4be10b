// finding_of(): what was found out about a language model, for people and programs to read.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "lm/language_model.h"

namespace mw::lm {

struct Finding {
  std::vector<std::pair<std::string, std::string>> inputs;  // name and role, as users state it
  std::string tokens_per_call;                              // "1 to 128", "exactly 1"
  std::vector<std::string> caches;                          // states, and inputs that come out anew
  int64_t places = 0;                // tokens that these hold; 0: no cache, or nothing tells
  std::vector<std::string> outputs;  // that hold the logits
  enum class Gives : uint8_t { kLogits, kNumbers, kLikeliest } gives = Gives::kLogits;
  bool last_only = false;  // of several tokens, the last one's
  int64_t classes = 0;

  // "ids inputIds, causal_mask causalMask; 1 to 128 tokens a call", ...
  [[nodiscard]] std::vector<std::string> lines() const;
};

// Numbers are logits where the output is called so or has a class for every token of the tokenizer.
Finding finding_of(const LanguageModel& lm);

}  // namespace mw::lm
