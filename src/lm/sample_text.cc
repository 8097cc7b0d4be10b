// Sampling a continuation at a low temperature.
#include "lm/sample_text.h"

#include <algorithm>

#include "lm/generate.h"

namespace mw::lm {
namespace {

// At least half of what the model takes and of what may be spent is left for the continuation.
std::vector<int32_t> shortened(std::vector<int32_t> prompt, const LanguageModel& lm,
                               int64_t budget) {
  int64_t most = std::max<int64_t>(budget / 2, 1);
  if (lm.has_cache()) most = std::min(most, std::max<int64_t>(lm.max_total() / 2, 1));
  if (static_cast<int64_t>(prompt.size()) > most) prompt.resize(static_cast<size_t>(most));
  return prompt;
}

}  // namespace

SampledText sample_text(const Model& model, const Tokenizer& tokenizer, const std::string& target,
                        const std::vector<int32_t>& prompt, const SampleOptions& options) {
  const LanguageModel reader(model, target);
  LanguageModel::Stream stream(reader);
  const std::vector<int32_t> ids = shortened(prompt, reader, options.budget);
  SampledText sampled{tokenizer.decode(ids), "", 0};
  if (stream.cost(static_cast<int64_t>(ids.size())) > options.budget) return sampled;
  Generator generator(reader, tokenizer,
                      {.max_tokens = options.tokens,
                       .temperature = static_cast<float>(options.temperature),
                       .seed = options.seed});
  GeneratorHooks hooks;
  hooks.may_run = [&](int64_t tokens) {
    return tokens <= options.budget - stream.tokens_run() &&
           !(options.should_stop && options.should_stop());
  };
  hooks.ends = [&](int32_t id) { return !tokenizer.id_to_token(id); };
  sampled.text = generator.run(stream, ids, hooks).text;
  sampled.tokens_run = stream.tokens_run();
  return sampled;
}

}  // namespace mw::lm
