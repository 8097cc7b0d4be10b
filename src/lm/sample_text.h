// sample_text(): a short continuation, to see what a model has learnt.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "lm/model.h"
#include "millwright/tokenizer.hpp"

namespace mw::lm {

struct SampleOptions {
  int64_t tokens = 60;
  double temperature = 0.6;
  uint64_t seed = 0;
  // Tokens that the model may be run on, all calls together: a window that is run anew for each
  // token counts each time.
  int64_t budget = std::numeric_limits<int64_t>::max();
  std::function<bool()> should_stop;  // asked before each token; empty: never
};

struct SampledText {
  std::string prompt, text;  // the text without the prompt, of which the budget may take the end
  int64_t tokens_run = 0;    // of the budget
};

// `target` as in LanguageModel. No text where the budget is too small for one token.
SampledText sample_text(const Model& model, const Tokenizer& tokenizer, const std::string& target,
                        const std::vector<int32_t>& prompt, const SampleOptions& options = {});

}  // namespace mw::lm
