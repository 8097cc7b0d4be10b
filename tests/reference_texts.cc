// Texts given to a language model: windows, pads, and what its logits say of the next token.
#include <algorithm>
#include <cmath>
#include <limits>

#include "reference.h"
#include "reference_rows.h"
#include "train/data.h"

namespace mw::testing {
namespace {

constexpr int64_t kUnbounded = std::numeric_limits<int64_t>::max();
constexpr int64_t kTrainingWindow = 256, kScoredWindow = 512;
constexpr uint64_t kUsualSeed = 0;
constexpr double kAlike = 1e-4;  // logarithms of probabilities that rounding may put in any order

struct Bounds {
  int64_t least = 1, most = 1;
};

// Of an axis of an input without a list of shapes.
Bounds bounds_of(const FeatureDescription& input, size_t axis) {
  if (input.ranges.empty()) return {input.shape[axis], input.shape[axis]};
  const auto [least, most] = input.ranges[axis];
  return {least, most < 0 ? kUnbounded : most};
}

int64_t batch_in(const Shape& shape) { return shape.size() > 1 ? shape[0] : 1; }

std::vector<int32_t> part_of(const std::vector<int32_t>& ids, int64_t begin, int64_t count) {
  return {ids.begin() + begin, ids.begin() + begin + count};
}

}  // namespace

Reference::Call Reference::most() const {
  if (first_.enumerated.empty()) {
    const size_t rank = std::max(first_.shape.size(), first_.ranges.size());
    return {rank > 1 ? bounds_of(first_, 0).most : 1, bounds_of(first_, rank - 1).most};
  }
  Call most{0, 0};
  for (const Shape& shape : first_.enumerated) {
    most.batch = std::max(most.batch, batch_in(shape));
    most.time = std::max(most.time, shape.back());
  }
  return most;
}

// The smallest call that holds such a one.
Reference::Call Reference::padded(Call call) const {
  if (first_.enumerated.empty()) {
    const size_t rank = std::max(first_.shape.size(), first_.ranges.size());
    const int64_t batch = rank > 1 ? bounds_of(first_, 0).least : 1;
    return {std::max(call.batch, batch), std::max(call.time, bounds_of(first_, rank - 1).least)};
  }
  Call best{0, kUnbounded};
  for (const Shape& shape : first_.enumerated) {
    const bool holds = batch_in(shape) >= call.batch && shape.back() >= call.time;
    if (holds && shape.back() < best.time) best = {batch_in(shape), shape.back()};
  }
  return best;
}

std::vector<Rows> Reference::log_probabilities(const FloatOutput& target,
                                               const std::vector<std::vector<int32_t>>& ids) const {
  const auto time = static_cast<int64_t>(ids.front().size());
  const Call call = padded({static_cast<int64_t>(ids.size()), time});
  const bool flat = std::max(first_.shape.size(), first_.ranges.size()) < 2;
  Tensor tensor(DType::kI32, flat ? Shape{call.time} : Shape{call.batch, call.time});
  for (size_t r = 0; r < ids.size(); ++r) {
    for (size_t t = 0; t < ids[r].size(); ++t) {
      tensor.set_integer(static_cast<int64_t>(r) * call.time + static_cast<int64_t>(t), ids[r][t]);
    }
  }
  const Tensor values = outputs({{first_.name, tensor}}).at(target.name);
  const int64_t last = values.rank() - 1;
  const bool known = !target.is_dictionary && target.value.classes >= 0;
  Rows all = rows_along(values, known ? target.value.classes : last);
  const bool are_shares = target.value.activation == Activation::kSoftmax;
  for (std::vector<double>& row : all) {
    const double whole = are_shares ? 0 : log_sum_exp(row);
    for (double& x : row) x = are_shares ? std::log(x) : x - whole;
  }
  const auto positions = static_cast<int64_t>(all.size()) / call.batch;
  std::vector<Rows> by_row;
  for (size_t r = 0; r < ids.size(); ++r) {
    const auto begin = all.begin() + static_cast<int64_t>(r) * positions;
    by_row.emplace_back(begin, begin + std::min(positions, time));
  }
  return by_row;
}

std::optional<Sum> Reference::first_text_step(const FloatOutput& target,
                                              const std::vector<int32_t>& ids,
                                              int64_t batch) const {
  const int64_t window = std::min(most().time, kTrainingWindow);
  const int64_t windows = (static_cast<int64_t>(ids.size()) - 1) / window;
  Sum sum;
  for (const int64_t at : training::Shuffle(windows, kUsualSeed).take(0, batch)) {
    const Rows rows = log_probabilities(target, {part_of(ids, at * window, window)}).front();
    const auto positions = static_cast<int64_t>(rows.size());
    if (positions != window && positions != 1) return std::nullopt;
    // Of one position that is the last.
    for (int64_t p = 0; p < positions; ++p) {
      const int64_t t = window - positions + p;
      const auto next = static_cast<size_t>(ids[static_cast<size_t>(at * window + t + 1)]);
      const double x = rows[static_cast<size_t>(p)].at(next);
      sum.add({.sum = -x, .slack = target.value.narrow ? 1e-2 : 1e-6, .count = 1});
    }
  }
  return sum;
}

// Windows one after another, the last one with what is left; where a call gives the last position
// only, by every beginning of a window.
std::optional<Sum> Reference::score(const FloatOutput& target,
                                    const std::vector<int32_t>& ids) const {
  const int64_t window = std::min(most().time, kScoredWindow);
  const auto last = static_cast<int64_t>(ids.size()) - 1;
  const double slack = target.value.narrow ? 2e-3 : 1e-6;
  Sum sum;
  for (int64_t begin = 0; begin < last; begin += window) {
    const int64_t time = std::min(window, last - begin);
    if (time < window && time < last / 16) break;  // a small rest does not count
    const Rows whole = log_probabilities(target, {part_of(ids, begin, time)}).front();
    const bool one = static_cast<int64_t>(whole.size()) != time;
    for (int64_t t = 0; t < time; ++t) {
      if (one && padded({1, t + 1}).time != t + 1) return std::nullopt;
      const Rows rows =
          one ? log_probabilities(target, {part_of(ids, begin, t + 1)}).front() : whole;
      const auto next = static_cast<size_t>(ids[static_cast<size_t>(begin + t + 1)]);
      const auto row = one ? 0 : static_cast<size_t>(t);
      sum.add({.sum = -rows.at(row).at(next), .slack = slack, .count = 1});
    }
  }
  return sum;
}

std::string Reference::fault_of_continuation(const FloatOutput& target,
                                             const std::vector<int32_t>& prompt,
                                             const std::vector<int32_t>& more,
                                             int64_t limit) const {
  std::vector<int32_t> ids = prompt;
  const auto given = [&](size_t size) { return std::min(static_cast<int64_t>(size), most().time); };
  int64_t count = 0;
  for (; count < limit; ++count) {
    const int64_t window = given(ids.size());
    // The last of several tokens must be no pad.
    const bool ends = model_.last_only && padded({1, window}).time != window;
    if (ends && count > 0) break;
    if (ends) return "the last token is a pad";
    if (count >= static_cast<int64_t>(more.size())) return "it ends too early";
    const Rows rows =
        log_probabilities(target, {part_of(ids, static_cast<int64_t>(ids.size()) - window, window)})
            .front();
    const std::vector<double>& next = rows.back();
    const int32_t said = more[static_cast<size_t>(count)];
    const double best = *std::max_element(next.begin(), next.end());
    if (next.at(static_cast<size_t>(said)) < best - kAlike) {
      return fmt::format("token {} after {} is {}, which is less likely than another by {}", count,
                         fmt::join(ids, " "), said, best - next[static_cast<size_t>(said)]);
    }
    ids.push_back(said);
  }
  return count == static_cast<int64_t>(more.size()) ? "" : "it goes on too long";
}

}  // namespace mw::testing
