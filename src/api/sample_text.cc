// Sampling a continuation at a low temperature.
#include "api/sample_text.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "api/language_model.h"

namespace mw {
namespace {

int32_t draw(const std::vector<float>& logits, double temperature, std::mt19937_64& random) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  std::vector<double> weights;
  double total = 0;
  for (const float logit : logits) {
    weights.push_back(std::exp((logit - largest) / temperature));
    total += weights.back();
  }
  double at = static_cast<double>(random() >> 11) * 0x1p-53 * total;
  for (size_t i = 0; i < weights.size(); ++i) {
    at -= weights[i];
    if (at < 0) return static_cast<int32_t>(i);
  }
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

}  // namespace

std::string sample_text(const CoreMLModelWrapper& model, const std::string& target,
                        const std::vector<int32_t>& prompt, const SampleOptions& options) {
  const Tokenizer& tokenizer = model.tokenizer();
  const LanguageModel lm(model, target);
  LanguageModel::Stream stream(lm);
  std::vector<int32_t> ids = prompt;
  if (static_cast<int64_t>(ids.size()) >= lm.max_total()) {
    ids.resize(static_cast<size_t>(std::max<int64_t>(lm.max_total() / 2, 1)));
  }
  const size_t begin = ids.size();
  std::mt19937_64 random(options.seed);
  std::vector<float> logits = stream.extend(ids);
  for (int64_t i = 0; i < options.tokens; ++i) {
    const int32_t id = draw(logits, options.temperature, random);
    if (tokenizer.is_end_of_text(id) || !tokenizer.id_to_token(id)) break;
    ids.push_back(id);
    if (i + 1 == options.tokens || (lm.has_cache() && stream.size() >= lm.max_total())) break;
    logits = stream.extend({id});
  }
  const std::string before = tokenizer.decode(std::span(ids).first(begin));
  const std::string whole = tokenizer.decode(ids);
  return whole.starts_with(before) ? whole.substr(before.size())
                                   : tokenizer.decode(std::span(ids).subspan(begin));
}

}  // namespace mw
