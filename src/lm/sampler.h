// Sampler: chooses the next token by its logits.
//
//   lm::Sampler sampler({.temperature = 0.8, .seed = 1});
//   const int32_t id = sampler.next(logits, text_so_far);
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <span>
#include <vector>

namespace mw::lm {

struct SamplerOptions {
  double temperature = 0;  // 0: the likeliest
  int64_t top_k = 0;       // of the k likeliest only; 0: of all
  double top_p = 1;        // of the likeliest that hold this probability together
  double min_p = 0;        // of those at least so likely, relative to the likeliest
  double repetition_penalty = 1;
  int64_t repetition_window = 0;  // last tokens of the text; 0: all
  uint64_t seed = 0;
  std::map<int32_t, float> bias;  // by id
};

// Steps, in this order: logits gain their bias; those of tokens that the window of the text holds
// are divided by the penalty, negative ones multiplied; softmax at the temperature; of these the
// k likeliest, then the likeliest that hold p of what is left, then those that have min_p of the
// likeliest's probability. Of equal ones those with the smallest ids are kept.
class Sampler {
 public:
  struct Choice {
    int32_t id;
    double probability;
  };

  explicit Sampler(SamplerOptions options) : options_(std::move(options)), random_(options_.seed) {}

  // Minus infinity is a token that never comes. Throws invalid_argument where a logit is no number
  // or infinite, where no token is left, and for a bias of an id that the model does not have.
  int32_t next(const std::vector<float>& logits, std::span<const int32_t> text = {});
  // What next() draws from, in no particular order; the probabilities sum up to 1.
  [[nodiscard]] std::vector<Choice> choices(const std::vector<float>& logits,
                                            std::span<const int32_t> text = {}) const;

 private:
  [[nodiscard]] std::vector<float> adjusted(const std::vector<float>& logits,
                                            std::span<const int32_t> text) const;

  SamplerOptions options_;
  std::mt19937_64 random_;
};

}  // namespace mw::lm
