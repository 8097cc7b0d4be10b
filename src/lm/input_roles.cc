// The table of names, and roles that a user states.
#include "lm/input_roles.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <string_view>

#include "base/error.h"
#include "base/plain_name.h"

namespace mw::lm {
namespace {

constexpr int64_t kUnbounded = std::numeric_limits<int64_t>::max();

constexpr std::array<std::string_view, 9> kNames = {"ids",          "attention_mask", "causal_mask",
                                                    "sliding_mask", "positions",      "past_length",
                                                    "update_mask",  "zeros",          "cache"};

enum class Spelt : uint8_t { kWhole, kAtEnd, kWithin };
// The first row that fits an input is its role.
struct Row {
  std::string_view part;
  Spelt spelt;
  int64_t least_rank, most_rank;
  InputRole role;
};
constexpr Row kRows[] = {
    {"inputids", Spelt::kAtEnd, 1, 2, InputRole::kIds},
    {"tokenids", Spelt::kAtEnd, 1, 2, InputRole::kIds},
    {"tokens", Spelt::kWhole, 1, 2, InputRole::kIds},
    {"tokentype", Spelt::kWithin, 1, 2, InputRole::kZeros},
    {"segmentids", Spelt::kWithin, 1, 2, InputRole::kZeros},
    {"updatemask", Spelt::kWithin, 2, 4, InputRole::kUpdateMask},
    {"slidingmask", Spelt::kWithin, 2, 4, InputRole::kSlidingMask},
    {"slidingwindowmask", Spelt::kWithin, 2, 4, InputRole::kSlidingMask},
    {"slidingattentionmask", Spelt::kWithin, 2, 4, InputRole::kSlidingMask},
    {"causalmask", Spelt::kWithin, 2, 4, InputRole::kCausalMask},
    {"attentionmask", Spelt::kWithin, 3, 4, InputRole::kCausalMask},
    {"mask", Spelt::kWhole, 3, 4, InputRole::kCausalMask},
    {"attentionmask", Spelt::kWithin, 1, 2, InputRole::kAttentionMask},
    {"mask", Spelt::kWhole, 1, 2, InputRole::kAttentionMask},
    {"currentpos", Spelt::kWithin, 1, 2, InputRole::kPastLength},
    {"cachelength", Spelt::kWithin, 1, 2, InputRole::kPastLength},
    {"pastlength", Spelt::kWithin, 1, 2, InputRole::kPastLength},
    {"startpos", Spelt::kWithin, 1, 2, InputRole::kPastLength},
    {"position", Spelt::kWithin, 1, 2, InputRole::kPositions},
};

bool fits(const Row& row, const std::string& plain, int64_t rank) {
  if (rank < row.least_rank || rank > row.most_rank) return false;
  switch (row.spelt) {
    case Spelt::kWhole:
      return plain == row.part;
    case Spelt::kAtEnd:
      return plain.ends_with(row.part);
    case Spelt::kWithin:
      return plain.find(row.part) != std::string::npos;
  }
  return false;
}

[[noreturn]] void reject(const std::string& text) {
  fail(ErrorCode::kInvalidArgument,
       "{} '{}': expected the name of an input and its role, as in input=ids; the roles are {} "
       "(cache:OUTPUT names the output that gives it anew, sliding_mask:512 a window)",
       setting("role"), text, role_names());
}

Assignment assignment_of(std::string_view role, const std::string& text) {
  const size_t colon = role.find(':');
  const auto name = std::find(kNames.begin(), kNames.end(), role.substr(0, colon));
  if (name == kNames.end()) reject(text);
  Assignment as{.role = static_cast<InputRole>(name - kNames.begin())};
  if (colon == std::string_view::npos) return as;
  const std::string_view more = role.substr(colon + 1);
  if (as.role == InputRole::kCache && !more.empty()) {
    as.output = more;
    return as;
  }
  const auto end = std::from_chars(more.data(), more.data() + more.size(), as.window);
  const bool whole = end.ec == std::errc() && end.ptr == more.data() + more.size();
  if (as.role != InputRole::kSlidingMask || !whole || as.window < 1) reject(text);
  return as;
}

size_t index_of(const FeatureDescription& feature, int64_t axis) {
  return static_cast<size_t>(axis < 0 ? axis + rank_of(feature) : axis);
}

}  // namespace

std::string_view name_of(InputRole role) { return kNames.at(static_cast<size_t>(role)); }
std::string role_names() { return fmt::format("{}", fmt::join(kNames, ", ")); }

std::vector<StatedRole> stated_roles(const std::vector<std::string>& texts) {
  std::vector<StatedRole> roles;
  for (const std::string& text : texts) {
    const size_t equals = text.rfind('=');
    if (equals == std::string::npos || equals == 0) reject(text);
    const std::string name = text.substr(0, equals);
    const auto same = [&](const StatedRole& role) { return role.input == name; };
    if (std::any_of(roles.begin(), roles.end(), same)) {
      fail(ErrorCode::kInvalidArgument, "{}: input '{}' has two roles", setting("role"), name);
    }
    roles.push_back({name, assignment_of(std::string_view(text).substr(equals + 1), text)});
  }
  return roles;
}

std::optional<InputRole> role_of(const FeatureDescription& input) {
  const std::string plain = plain_name(input.name);
  const int64_t rank = rank_of(input);
  for (const Row& row : kRows) {
    if (fits(row, plain, rank)) return row.role;
  }
  return std::nullopt;
}

int64_t rank_of(const FeatureDescription& feature) {
  if (!feature.enumerated.empty()) return static_cast<int64_t>(feature.enumerated[0].size());
  return static_cast<int64_t>(std::max(feature.shape.size(), feature.ranges.size()));
}

int64_t largest(const FeatureDescription& feature, int64_t axis) {
  const size_t i = index_of(feature, axis);
  if (!feature.enumerated.empty()) {
    int64_t most = 0;
    for (const Shape& shape : feature.enumerated) {
      most = std::max(most, i < shape.size() ? shape[i] : 0);
    }
    return most;
  }
  if (i < feature.ranges.size()) {
    return feature.ranges[i].second < 0 ? kUnbounded : feature.ranges[i].second;
  }
  return i < feature.shape.size() && feature.shape[i] >= 0 ? feature.shape[i] : kUnbounded;
}

int64_t smallest(const FeatureDescription& feature, int64_t axis) {
  const size_t i = index_of(feature, axis);
  if (!feature.enumerated.empty()) {
    int64_t least = kUnbounded;
    for (const Shape& shape : feature.enumerated) {
      least = std::min(least, i < shape.size() ? shape[i] : 0);
    }
    return least;
  }
  if (i < feature.ranges.size()) return std::max<int64_t>(feature.ranges[i].first, 0);
  return i < feature.shape.size() && feature.shape[i] >= 0 ? feature.shape[i] : 0;
}

}  // namespace mw::lm
