// Sampler: chooses the next token by its logits.
//
//   lm::Sampler sampler({.temperature = 0.8, .seed = 1});
//   const int32_t id = sampler.next(logits);
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace mw::lm {

struct SamplerOptions {
  double temperature = 0;  // 0: the likeliest
  int64_t top_k = 0;       // of the k likeliest only; 0: of all
  double top_p = 1;        // of the likeliest that hold this probability together
  uint64_t seed = 0;
};

class Sampler {
 public:
  explicit Sampler(const SamplerOptions& options) : options_(options), random_(options.seed) {}

  // Softmax at the temperature over the k likeliest, cut where their probability reaches p. Of
  // equal ones the first counts. Minus infinity is a token that never comes; throws
  // invalid_argument where a logit is no number or infinite, or where no token is left.
  int32_t next(const std::vector<float>& logits);

 private:
  [[nodiscard]] int32_t sampled(const std::vector<float>& logits);

  SamplerOptions options_;
  std::mt19937_64 random_;
};

}  // namespace mw::lm
