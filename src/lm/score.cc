// Cross entropy of one position by the logarithm of the sum of exponentials, and of windows of a
// text.
#include "lm/score.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

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

constexpr int64_t kSmallRest = 16;  // of a text, that part may be left out

int64_t Windows::count(int64_t length) const {
  const int64_t last = length - tokens - 1, whole = last < 0 ? 0 : last / stride + 1;
  const int64_t rest = length - 1 - (whole == 0 ? 0 : (whole - 1) * stride + tokens);
  return whole + (with_rest && rest > 0 && rest >= (length - 1) / kSmallRest ? 1 : 0);
}

namespace {

void expect_finite(double loss, const std::string& output, int64_t window, int64_t token) {
  if (std::isfinite(loss)) return;
  fail(ErrorCode::kInvalidArgument,
       "output '{}': expected logits with a finite loss, got {} in window {}, for what follows "
       "its token {}",
       output, std::isnan(loss) ? "no number" : "an infinite one", window + 1, token + 1);
}

Tensor rows_at(const std::vector<int32_t>& ids, const Windows& windows, int64_t first, int64_t rows,
               int64_t tokens) {
  Tensor input(DType::kI32, {rows, tokens});
  for (int64_t r = 0; r < rows; ++r) {
    std::copy_n(ids.begin() + (first + r) * windows.stride, tokens,
                input.mutable_data<int32_t>() + r * tokens);
  }
  return input;
}

}  // namespace

Score score_windows(const LanguageModel& lm, const std::vector<int32_t>& ids,
                    const Windows& windows, const std::function<void(int64_t)>& scored) {
  Score score;
  const auto length = static_cast<int64_t>(ids.size());
  const int64_t count = windows.count(length);
  // Of the window: the shorter one goes alone.
  const auto tokens_of = [&](int64_t window) {
    return std::min(windows.tokens, length - 1 - window * windows.stride);
  };
  while (score.windows < count) {
    const int64_t tokens = tokens_of(score.windows);
    int64_t rows = std::min(windows.per_call, count - score.windows);
    if (tokens_of(score.windows + rows - 1) < tokens) --rows;
    const Logits logits = lm.every(rows_at(ids, windows, score.windows, rows, tokens));
    for (int64_t r = 0; r < rows; ++r, ++score.windows) {
      const int64_t start = score.windows * windows.stride;
      const int64_t seen = start == 0 ? 0 : std::max<int64_t>(windows.tokens - windows.stride, 0);
      for (int64_t t = seen; t < tokens; ++t) {
        const int32_t label = ids[static_cast<size_t>(start + t + 1)];
        const double loss = cross_entropy(logits.row(r, t), label);
        expect_finite(loss, lm.output(), score.windows, t);
        score.total += loss;
        ++score.tokens;
      }
    }
    scored(score.windows);
  }
  return score;
}

}  // namespace mw::lm
