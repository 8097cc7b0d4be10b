// sample_text(): a short continuation, to see what a model has learnt.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "millwright/millwright.hpp"

namespace mw {

struct SampleOptions {
  int64_t tokens = 60;
  double temperature = 0.6;
  uint64_t seed = 0;
};

// The text that follows the prompt, without it. `target` as in LanguageModel.
std::string sample_text(const CoreMLModelWrapper& model, const std::string& target,
                        const std::vector<int32_t>& prompt, const SampleOptions& options = {});

}  // namespace mw
