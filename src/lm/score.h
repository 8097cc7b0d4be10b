// cross_entropy(): what the logits of one position cost for the token that followed;
// score_windows(): the same over a text.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "lm/language_model.h"

namespace mw::lm {

// -log softmax(logits)[label], in fp64. Infinite where the token has no probability; no number
// where a logit is none or infinite. Throws invalid_argument for a label outside the logits.
double cross_entropy(const std::vector<float>& logits, int32_t label);

// Windows [start, start + tokens) of a text, `stride` apart, predict the tokens one further on; of
// overlapping ones only the positions that no earlier window has seen count.
struct Windows {
  int64_t tokens = 1, stride = 1;
  int64_t per_call = 1;
  // What is left behind the last whole window is a shorter one, where it is a sixteenth of the text
  // or more; else it does not count.
  bool with_rest = false;
  // How many there are in a text of `length` tokens.
  [[nodiscard]] int64_t count(int64_t length) const;
};
struct Score {
  int64_t windows = 0, tokens = 0;  // tokens that count
  double total = 0;                 // cross entropy of all of them
};
// `scored` is called with the number of windows after each call of the model; it may throw. Throws
// invalid_argument, with the window and its token, where a loss is not finite.
Score score_windows(const LanguageModel& lm, const std::vector<int32_t>& ids,
                    const Windows& windows, const std::function<void(int64_t)>& scored);

}  // namespace mw::lm
