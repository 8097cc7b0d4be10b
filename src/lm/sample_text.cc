// Sampling a continuation at a low temperature.
#include "lm/sample_text.h"

#include <algorithm>

#include "lm/language_model.h"
#include "lm/sampler.h"

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
  Sampler sampler({.temperature = options.temperature, .seed = options.seed});
  std::vector<int32_t> ids = shortened(prompt, reader, options.budget), next = ids;
  const size_t begin = ids.size();
  while (static_cast<int64_t>(ids.size() - begin) < options.tokens && stream.obstacle().empty() &&
         stream.cost(static_cast<int64_t>(next.size())) <= options.budget - stream.tokens_run() &&
         !(options.should_stop && options.should_stop())) {
    const int32_t id = sampler.next(stream.extend(next));
    if (tokenizer.is_end_of_text(id) || !tokenizer.id_to_token(id)) break;
    ids.push_back(id);
    next = {id};
  }
  SampledText sampled{tokenizer.decode(std::span(ids).first(begin)), "", stream.tokens_run()};
  const std::string whole = tokenizer.decode(ids);
  sampled.text = whole.starts_with(sampled.prompt)
                     ? whole.substr(sampled.prompt.size())
                     : tokenizer.decode(std::span(ids).subspan(begin));
  return sampled;
}

}  // namespace mw::lm
