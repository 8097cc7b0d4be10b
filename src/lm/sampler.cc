// Greedy choice, and sampling among the likeliest.
#include "lm/sampler.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"

namespace mw::lm {
namespace {

using Choice = Sampler::Choice;
using Choices = std::vector<Choice>;

void check(const std::vector<float>& logits) {
  bool any = false;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i]) || logits[i] == INFINITY) {
      fail(ErrorCode::kInvalidArgument, "logits: expected a number for token {}, got {}", i,
           std::isnan(logits[i]) ? "nan" : "inf");
    }
    any = any || std::isfinite(logits[i]);
  }
  if (!any) fail(ErrorCode::kInvalidArgument, "logits: expected a token that may come, got none");
}

bool is_before(const Choice& a, const Choice& b) {
  return a.probability != b.probability ? a.probability > b.probability : a.id < b.id;
}

// exp((logit - largest) / temperature) of each token that may come.
Choices weighted(const std::vector<float>& logits, double temperature) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  Choices all;
  all.reserve(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] == -INFINITY) continue;
    all.push_back({static_cast<int32_t>(i), std::exp((logits[i] - largest) / temperature)});
  }
  return all;
}

double sum_of(const Choices& choices) {
  double sum = 0;
  for (const Choice& choice : choices) sum += choice.probability;
  return sum;
}

void keep_top_k(Choices& choices, int64_t k) {
  const auto count = static_cast<size_t>(k);
  if (k == 0 || count >= choices.size()) return;
  std::nth_element(choices.begin(), choices.begin() + k, choices.end(), is_before);
  choices.resize(count);
}

// Brought into order from the front, a part at a time: of a large vocabulary a few tokens hold
// most.
void keep_top_p(Choices& choices, double p) {
  if (p >= 1) return;
  const double limit = p * sum_of(choices);
  double held = 0;
  size_t count = 0, ordered = 0;
  while (count < choices.size() && held < limit) {
    if (count == ordered) {
      ordered = std::min(choices.size(), std::max<size_t>(64, 4 * ordered));
      std::partial_sort(choices.begin() + static_cast<int64_t>(count),
                        choices.begin() + static_cast<int64_t>(ordered), choices.end(), is_before);
    }
    held += choices[count++].probability;
  }
  choices.resize(count);
}

// The likeliest has the weight 1.
void keep_min_p(Choices& choices, double p) {
  std::erase_if(choices, [p](const Choice& choice) { return choice.probability < p; });
}

}  // namespace

std::vector<float> Sampler::adjusted(const std::vector<float>& logits,
                                     std::span<const int32_t> text) const {
  check(logits);
  std::vector<float> scores = logits;
  for (const auto& [id, bias] : options_.bias) {
    if (static_cast<size_t>(id) >= scores.size()) {
      fail(ErrorCode::kInvalidArgument, "{}: expected ids below the model's {} tokens, got {}",
           setting("logit_bias"), scores.size(), id);
    }
    scores[static_cast<size_t>(id)] += bias;
  }
  if (options_.repetition_penalty != 1) {
    const auto window = static_cast<size_t>(options_.repetition_window);
    if (window > 0 && window < text.size()) text = text.last(window);
    for (const int32_t id : std::set<int32_t>(text.begin(), text.end())) {
      if (id < 0 || static_cast<size_t>(id) >= scores.size()) continue;
      float& score = scores[static_cast<size_t>(id)];
      const double penalty = options_.repetition_penalty;
      score = static_cast<float>(score > 0 ? score / penalty : score * penalty);
    }
  }
  check(scores);
  return scores;
}

std::vector<Sampler::Choice> Sampler::choices(const std::vector<float>& logits,
                                              std::span<const int32_t> text) const {
  const std::vector<float> scores = adjusted(logits, text);
  if (options_.temperature == 0) {
    return {
        {static_cast<int32_t>(std::max_element(scores.begin(), scores.end()) - scores.begin()), 1}};
  }
  Choices left = weighted(scores, options_.temperature);
  keep_top_k(left, options_.top_k);
  keep_top_p(left, options_.top_p);
  keep_min_p(left, options_.min_p);
  const double sum = sum_of(left);
  for (Choice& choice : left) choice.probability /= sum;
  return left;
}

int32_t Sampler::next(const std::vector<float>& logits, std::span<const int32_t> text) {
  const Choices drawn_from = choices(logits, text);
  if (options_.temperature == 0) return drawn_from[0].id;
  double left = static_cast<double>(random_() >> 11) * 0x1p-53;
  for (const Choice& choice : drawn_from) {
    left -= choice.probability;
    if (left < 0) return choice.id;
  }
  // The sum may be less than 1 by a rounding: the last one that has a share of it.
  for (size_t i = drawn_from.size(); i-- > 1;) {
    if (drawn_from[i].probability > 0) return drawn_from[i].id;
  }
  return drawn_from[0].id;
}

}  // namespace mw::lm
