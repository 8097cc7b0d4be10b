// Roles: found by what is stated, by name and by shape; masks and positions made for the caller.
#include "lm/roles.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/error.h"

namespace mw::lm {
namespace {

constexpr int64_t kUnbounded = std::numeric_limits<int64_t>::max();
// What masks hold where attention is not allowed: finite, so that fp16 keeps it.
constexpr double kMasked = -1e4;

std::string described(const FeatureDescription& input) {
  return fmt::format("input '{}' ({} {})", input.name, name_of(input.dtype),
                     to_string(input.shape));
}

// Columns of a mask after `place` and `time` tokens.
int64_t width_of(const FeatureDescription& mask, const Place& place, int64_t time) {
  const int64_t needed = place.hidden + place.past + time;
  if (!is_fixed(mask, -1)) return needed;
  const int64_t width = largest(mask, -1);
  if (width >= needed) return width;
  fail(ErrorCode::kInvalidArgument, "input '{}': expected a text of at most {} tokens, got {}",
       mask.name, width - place.hidden, needed - place.hidden);
}

// The extents of an input; those that the model leaves open are 1, the first of several `batch`.
Shape shape_of(const FeatureDescription& input, int64_t batch) {
  Shape shape;
  for (int64_t axis = 0; axis < rank_of(input); ++axis) {
    const int64_t open = axis == 0 && rank_of(input) > 1 ? batch : 1;
    shape.push_back(is_fixed(input, axis) ? largest(input, axis) : open);
  }
  return shape;
}

Tensor causal_mask(const FeatureDescription& input, int64_t window, const Tensor& ids,
                   const Place& place) {
  const int64_t time = ids.dim(1), width = width_of(input, place, time);
  Shape shape = shape_of(input, ids.dim(0));
  if (rank_of(input) == 2) shape[0] = time;
  shape[shape.size() - 2] = time;
  shape.back() = width;
  const bool additive = is_float(input.dtype);
  Tensor mask(input.dtype, shape);
  for (int64_t i = 0; i < mask.count(); ++i) {
    const int64_t column = i % width, own = place.hidden + place.past + i / width % time;
    const bool open =
        column >= place.hidden && column <= own && (window == 0 || column > own - window);
    if (additive ? !open : open) mask.set_number(i, additive ? kMasked : 1);
  }
  return mask;
}

Tensor attention_mask(const FeatureDescription& input, const Tensor& ids, const Place& place) {
  const int64_t time = ids.dim(1), width = width_of(input, place, time);
  Tensor mask(input.dtype, rank_of(input) == 1 ? Shape{width} : Shape{ids.dim(0), width});
  const int64_t end = place.hidden + place.past + time - place.pads;
  for (int64_t i = 0; i < mask.count(); ++i) {
    mask.set_number(i, i % width >= place.hidden && i % width < end ? 1 : 0);
  }
  return mask;
}

// Of several tokens only the first one's where the input holds one number.
Tensor positions(const FeatureDescription& input, const Tensor& ids, const Place& place) {
  const int64_t columns = is_fixed(input, -1) && largest(input, -1) == 1 ? 1 : ids.dim(1);
  Tensor result(input.dtype, rank_of(input) == 1 ? Shape{columns} : Shape{ids.dim(0), columns});
  for (int64_t i = 0; i < result.count(); ++i) {
    result.set_number(i, static_cast<double>(place.past + i % columns));
  }
  return result;
}

Tensor past_length(const FeatureDescription& input, const Tensor& ids, const Place& place) {
  Tensor result(input.dtype, shape_of(input, ids.dim(0)));
  const auto length = static_cast<double>(place.hidden + place.past);
  for (int64_t i = 0; i < result.count(); ++i) result.set_number(i, length);
  return result;
}

// [..., width, time], or [..., time, width] where only that can be.
Tensor update_mask(const FeatureDescription& input, const Tensor& ids, const Place& place) {
  const int64_t time = ids.dim(1);
  Shape shape = shape_of(input, ids.dim(0));
  const bool time_last = shape.size() > 2 && shape[shape.size() - 2] >= shape.back();
  const int64_t width = time_last ? shape[shape.size() - 2] : shape.back();
  const int64_t columns = time_last ? shape.back() : shape[shape.size() - 2];
  if (columns != time || place.past + time - place.pads > width) {
    fail(ErrorCode::kInvalidArgument,
         "input '{}': expected {} tokens, of {} at most, got {} after {}", input.name, columns,
         width, time, place.past);
  }
  Tensor mask(input.dtype, shape);
  const int64_t stride = shape.back();
  for (int64_t i = 0; i < mask.count(); ++i) {
    const int64_t row = i / stride % shape[shape.size() - 2], column = i % stride;
    const int64_t t = time_last ? column : row, at = time_last ? row : column;
    if (t < time - place.pads && at == place.past + t) mask.set_number(i, 1);
  }
  return mask;
}

Tensor zeros(const FeatureDescription& input, const Tensor& ids) {
  Shape shape = shape_of(input, ids.dim(0));
  if (!is_fixed(input, -1)) shape.back() = ids.dim(1);
  return {input.dtype, shape};
}

}  // namespace

Tensor rows_of(const Tensor& ids) {
  if (ids.rank() < 1 || ids.rank() > 2) {
    fail(ErrorCode::kInvalidArgument, "input_ids: expected [time] or [batch, time], got {}",
         to_string(ids.shape()));
  }
  return ids.rank() == 2 ? ids : ids.reshaped({1, ids.dim(0)});
}

Roles::Roles(const Signature& signature)
    : caches_(caches_of(signature.inputs, signature.outputs, signature.stated)),
      has_cache_(!signature.states.empty() || !caches_.empty()) {
  for (const StatedRole& stated : signature.stated) {
    const bool known = std::any_of(signature.inputs.begin(), signature.inputs.end(),
                                   [&](const auto& input) { return input.name == stated.input; });
    if (!known) {
      fail(ErrorCode::kInvalidArgument, "{} '{}': the model has no input of that name",
           setting("role"), stated.input);
    }
  }
  assign(signature);
  shapes_ = CallShapes(ids_);
  find_places(signature);
}

void Roles::assign(const Signature& signature) {
  std::vector<FeatureDescription> unknown;
  for (const FeatureDescription& input : signature.inputs) {
    const auto stated =
        std::find_if(signature.stated.begin(), signature.stated.end(),
                     [&](const StatedRole& role) { return role.input == input.name; });
    const bool is_cache = std::any_of(caches_.begin(), caches_.end(), [&](const Cache& cache) {
      return cache.input == input.name;
    });
    if (is_cache) continue;
    if (stated != signature.stated.end()) {
      roles_.push_back({input, stated->as});
    } else if (const auto role = role_of(input)) {
      roles_.push_back({input, {.role = *role}});
    } else if (!input.optional) {
      unknown.push_back(input);
    }
  }
  const auto is_candidate = [](const FeatureDescription& input) {
    return is_integer(input.dtype) && rank_of(input) >= 1 && rank_of(input) <= 2;
  };
  const bool one = std::count_if(unknown.begin(), unknown.end(), is_candidate) == 1;
  if (!has(InputRole::kIds) && one) {
    const auto ids = std::find_if(unknown.begin(), unknown.end(), is_candidate);
    roles_.push_back({*ids, {.role = InputRole::kIds}});
    unknown.erase(ids);
  }
  find_ids();
  if (!unknown.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "{} cannot be made from token ids; say what it takes ({} {}=ROLE; the roles are {}), or "
         "give all inputs by name with predict()",
         described(unknown[0]), setting("role"), unknown[0].name, role_names());
  }
  for (Role& role : roles_) {
    if (role.as.role != InputRole::kSlidingMask || role.as.window > 0) continue;
    role.as.window = signature.sliding_window;
    if (role.as.window > 0) continue;
    fail(ErrorCode::kUnsupported,
         "{}: how many places the mask slides over is not stated; say so ({} "
         "{}=sliding_mask:PLACES)",
         described(role.input), setting("role"), role.input.name);
  }
}

void Roles::find_ids() {
  std::string names;
  for (const Role& role : roles_) {
    if (role.as.role != InputRole::kIds) continue;
    names += (names.empty() ? "'" : "' and '") + role.input.name;
    ids_ = role.input;
  }
  if (names.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "the model has no input for token ids: it is not a language model, or the input is called "
         "otherwise; say which one takes them ({} NAME=ids)",
         setting("role"));
  }
  if (names != "'" + ids_.name) {
    fail(ErrorCode::kInvalidArgument,
         "expected one input for token ids, got {}'; say what the others take ({} NAME=ROLE)",
         names, setting("role"));
  }
}

// A mask that grows with the text may have as many columns as the cache has places; one of fixed
// width has just as many.
void Roles::find_places(const Signature& signature) {
  places_ = kUnbounded;
  for (const Cache& cache : caches_) {
    if (cache.axis < 0) continue;
    // The last token comes to a full cache.
    if (cache.most < kUnbounded) places_ = std::min(places_, cache.most - cache.hidden + 1);
  }
  int64_t hidden = 0;
  for (const Cache& cache : caches_) hidden = std::max(hidden, cache.hidden);
  bool tells = false;
  for (const Role& role : roles_) {
    const InputRole kind = role.as.role;
    const bool mask = kind == InputRole::kCausalMask || kind == InputRole::kSlidingMask ||
                      (kind == InputRole::kAttentionMask && has_cache_);
    if (mask && largest(role.input, -1) < kUnbounded) {
      places_ = std::min(places_, largest(role.input, -1) - hidden);
    }
    tells |= mask;
  }
  for (const auto& [state, places] : signature.places) places_ = std::min(places_, places);
  can_rewrite_ =
      tells && caches_.empty() &&
      std::all_of(signature.states.begin(), signature.states.end(), [&](const auto& state) {
        return signature.places.contains(state.name) ||
               std::find(state.shape.begin(), state.shape.end(), places_) != state.shape.end();
      });
}

bool Roles::has(InputRole role) const {
  return std::any_of(roles_.begin(), roles_.end(),
                     [&](const Role& have) { return have.as.role == role; });
}

Tensor Roles::tensor_for(const Role& role, const Tensor& ids, const Place& place) const {
  switch (role.as.role) {
    case InputRole::kIds:
      return rank_of(role.input) == 1 ? ids.reshaped({ids.dim(1)}) : ids;
    case InputRole::kAttentionMask:
      return attention_mask(role.input, ids, place);
    case InputRole::kCausalMask:
      return causal_mask(role.input, 0, ids, place);
    case InputRole::kSlidingMask:
      return causal_mask(role.input, role.as.window, ids, place);
    case InputRole::kPositions:
      return positions(role.input, ids, place);
    case InputRole::kPastLength:
      return past_length(role.input, ids, place);
    case InputRole::kUpdateMask:
      return update_mask(role.input, ids, place);
    case InputRole::kZeros:
    case InputRole::kCache:
      break;
  }
  return zeros(role.input, ids);
}

TensorMap Roles::inputs_for(const Tensor& given, const Place& place) const {
  const Tensor ids = rows_of(given);
  TensorMap inputs;
  for (const Role& role : roles_) {
    if (rank_of(role.input) == 1 && ids.dim(0) != 1 && role.as.role != InputRole::kPastLength) {
      fail(ErrorCode::kInvalidArgument, "input '{}': expected a batch of one, got {}",
           role.input.name, ids.dim(0));
    }
    inputs[role.input.name] = tensor_for(role, ids, place);
  }
  return inputs;
}

std::vector<std::pair<std::string, std::string>> Roles::names() const {
  std::vector<std::pair<std::string, std::string>> names;
  names.reserve(roles_.size());
  for (const Role& role : roles_) names.emplace_back(role.input.name, name_of(role.as.role));
  return names;
}

}  // namespace mw::lm
