// InputRole: what of a text an input of a model takes, told from its name, dtype and rank.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "millwright/feature.hpp"

namespace mw::lm {

// By the names that users state them by.
enum class InputRole : uint8_t {
  kIds,            // ids: of tokens, [time] or [batch, time]; integers, or floats that hold them
  kAttentionMask,  // attention_mask: 1 for a token, 0 for a pad, [width] or [batch, width]
  kCausalMask,     // causal_mask: [..., time, width], which places each token may attend to
  kSlidingMask,    // sliding_mask: the same, of the last `window` places only
  kPositions,      // positions: the place of each token in the text, [time] or [batch, time]
  kPastLength,     // past_length: how many tokens are in the cache, one number
  kUpdateMask,     // update_mask: [..., width, time], 1 at the place that each token is put
  kZeros,          // zeros: token types and the like
  kCache,          // cache: keys or values of earlier calls, which an output gives anew
};

// What an input takes, beside its role.
struct Assignment {
  InputRole role = InputRole::kIds;
  int64_t window = 0;  // kSlidingMask: places, the token's own among them; 0: not stated
  std::string output;  // kCache: the output that takes its place in the next call; "": not stated
};

struct StatedRole {
  std::string input;
  Assignment as;
};
// Roles as a user states them: "NAME=ROLE", also "NAME=sliding_mask:512" and "NAME=cache:OUTPUT".
// Throws invalid_argument for anything else.
std::vector<StatedRole> stated_roles(const std::vector<std::string>& texts);
std::string_view name_of(InputRole role);  // "causal_mask"
std::string role_names();                  // "ids, attention_mask, ..."

// By the name, of which case and underscores do not count, and the rank; nothing where these do not
// tell, and for a cache, which caches.h finds.
std::optional<InputRole> role_of(const FeatureDescription& input);

int64_t rank_of(const FeatureDescription& feature);
// The largest and the smallest extent that an axis (negative: from the end) may have; INT64_MAX and
// 0 where the file states no bound.
int64_t largest(const FeatureDescription& feature, int64_t axis);
int64_t smallest(const FeatureDescription& feature, int64_t axis);
inline bool is_fixed(const FeatureDescription& feature, int64_t axis) {
  return largest(feature, axis) == smallest(feature, axis);
}

}  // namespace mw::lm
