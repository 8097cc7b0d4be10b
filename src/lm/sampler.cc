// Greedy choice, and sampling among the likeliest.
#include "lm/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace mw::lm {
namespace {

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

}  // namespace

int32_t Sampler::next(const std::vector<float>& logits) {
  check(logits);
  if (options_.temperature > 0) return sampled(logits);
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

int32_t Sampler::sampled(const std::vector<float>& logits) {
  const auto at = [&](int32_t id) { return logits[static_cast<size_t>(id)]; };
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const size_t keep = options_.top_k > 0
                          ? std::min<size_t>(static_cast<size_t>(options_.top_k), order.size())
                          : order.size();
  std::partial_sort(order.begin(), order.begin() + static_cast<int64_t>(keep), order.end(),
                    [&](int32_t a, int32_t b) { return at(a) != at(b) ? at(a) > at(b) : a < b; });
  std::vector<double> weights;
  const double largest = at(order[0]);
  double total = 0;
  for (size_t i = 0; i < keep; ++i) {
    weights.push_back(std::exp((at(order[i]) - largest) / options_.temperature));
    total += weights.back();
  }
  double limit = 0;
  size_t count = 0;
  while (count < keep && limit < options_.top_p * total) limit += weights[count++];
  double left = static_cast<double>(random_() >> 11) * 0x1p-53 * limit;
  for (size_t i = 0; i < count; ++i) {
    left -= weights[i];
    if (left < 0) return order[i];
  }
  return order[count - 1];
}

}  // namespace mw::lm
