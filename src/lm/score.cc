// Cross entropy of one position by the logarithm of the sum of exponentials.
#include "lm/score.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace mw::lm {

double cross_entropy(const std::vector<float>& logits, int32_t label) {
  if (label < 0 || static_cast<size_t>(label) >= logits.size()) {
    fail(ErrorCode::kInvalidArgument, "token id {} is outside the model's vocabulary of {}", label,
         logits.size());
  }
  double largest = -std::numeric_limits<double>::infinity();
  for (const float logit : logits) {
    if (std::isnan(logit)) return std::numeric_limits<double>::quiet_NaN();
    largest = std::max<double>(largest, logit);
  }
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  return largest + std::log(sum) - logits[static_cast<size_t>(label)];
}

}  // namespace mw::lm
