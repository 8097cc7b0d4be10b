// The extents of the ids input: fixed, a range, or a list of shapes.
#include "lm/call_shapes.h"

#include <algorithm>
#include <limits>

#include "base/error.h"

namespace mw::lm {
namespace {

constexpr int64_t kUnbounded = std::numeric_limits<int64_t>::max();

}  // namespace

CallShapes::CallShapes(const FeatureDescription& ids) {
  const size_t rank = std::max(ids.shape.size(), ids.ranges.size());
  if (rank < 1 || rank > 2) {
    fail(ErrorCode::kInvalidArgument, "input '{}': expected token ids of rank 1 or 2, got {}",
         ids.name, to_string(ids.shape));
  }
  const auto bounds = [&](size_t axis) -> Bounds {
    if (axis < ids.ranges.size()) {
      const auto [lower, upper] = ids.ranges[axis];
      return {std::max<int64_t>(lower, 1), upper < 0 ? kUnbounded : upper};
    }
    const int64_t extent = ids.shape[axis];
    return extent < 0 ? Bounds{1, kUnbounded} : Bounds{extent, extent};
  };
  time_ = bounds(rank - 1);
  if (rank == 2) batch_ = bounds(0);
  max_time_ = time_.upper;
  max_batch_ = batch_.upper;
  if (ids.enumerated.empty()) return;
  max_time_ = max_batch_ = 1;
  for (const Shape& shape : ids.enumerated) {
    if (shape.size() != rank) continue;
    listed_.push_back({rank == 2 ? shape[0] : 1, shape.back()});
    max_time_ = std::max(max_time_, listed_.back().time);
    max_batch_ = std::max(max_batch_, listed_.back().batch);
  }
  std::sort(listed_.begin(), listed_.end(), [](const CallShape& a, const CallShape& b) {
    return a.time != b.time ? a.time < b.time : a.batch < b.batch;
  });
}

bool CallShapes::allow(CallShape shape) const {
  const auto within = [](const Bounds& bounds, int64_t count) {
    return count >= bounds.lower && count <= bounds.upper;
  };
  if (listed_.empty()) return within(batch_, shape.batch) && within(time_, shape.time);
  return std::any_of(listed_.begin(), listed_.end(), [&](const CallShape& listed) {
    return listed.batch == shape.batch && listed.time == shape.time;
  });
}

bool CallShapes::allow_time(int64_t time) const {
  if (listed_.empty()) return allow({batch_.lower, time});
  return std::any_of(listed_.begin(), listed_.end(),
                     [&](const CallShape& listed) { return listed.time == time; });
}

std::optional<CallShape> CallShapes::padded(CallShape shape) const {
  for (const CallShape& listed : listed_) {
    if (listed.time >= shape.time && listed.batch >= shape.batch) return listed;
  }
  if (!listed_.empty() || shape.time > time_.upper || shape.batch > batch_.upper) {
    return std::nullopt;
  }
  return CallShape{std::max(shape.batch, batch_.lower), std::max(shape.time, time_.lower)};
}

int64_t CallShapes::longest(int64_t count) const {
  if (listed_.empty()) return count < time_.lower ? 0 : std::min(count, time_.upper);
  int64_t most = 0;
  for (const CallShape& listed : listed_) {
    if (listed.batch == 1 && listed.time <= count) most = std::max(most, listed.time);
  }
  return most;
}

int64_t CallShapes::min_time() const {
  return listed_.empty() ? time_.lower : listed_.front().time;
}

CallShape CallShapes::smallest() const {
  return listed_.empty() ? CallShape{batch_.lower, time_.lower} : listed_.front();
}

std::string CallShapes::times_text() const {
  if (!listed_.empty()) {
    std::string text;
    for (size_t i = 0; i < listed_.size(); ++i) {
      if (i > 0 && listed_[i].time == listed_[i - 1].time) continue;
      text += (i == 0 ? "" : i + 1 == listed_.size() ? " or " : ", ");
      text += std::to_string(listed_[i].time);
    }
    return text;
  }
  if (time_.lower == time_.upper) return fmt::format("exactly {}", time_.lower);
  if (time_.upper == kUnbounded) return fmt::format("at least {}", time_.lower);
  return fmt::format("{} to {}", time_.lower, time_.upper);
}

}  // namespace mw::lm
