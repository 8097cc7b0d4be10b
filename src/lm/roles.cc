// Roles: by name and shape; masks and positions made for the caller.
#include "lm/roles.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/plain_name.h"

namespace mw::lm {
namespace {

constexpr int64_t kUnbounded = std::numeric_limits<int64_t>::max();
// What masks hold where attention is not allowed: finite, so that fp16 keeps it.
constexpr double kMasked = -1e4;

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

int64_t rank_of(const FeatureDescription& feature) {
  return static_cast<int64_t>(std::max(feature.shape.size(), feature.ranges.size()));
}

// The largest extent an axis may take: fixed, the upper end of its range, the largest enumerated
// one.
int64_t largest(const FeatureDescription& feature, size_t axis) {
  if (!feature.enumerated.empty()) {
    int64_t most = 0;
    for (const Shape& shape : feature.enumerated) {
      most = std::max(most, axis < shape.size() ? shape[axis] : 0);
    }
    return most;
  }
  if (axis < feature.ranges.size()) {
    return feature.ranges[axis].second < 0 ? kUnbounded : feature.ranges[axis].second;
  }
  return axis < feature.shape.size() && feature.shape[axis] >= 0 ? feature.shape[axis] : kUnbounded;
}

bool is_fixed(const FeatureDescription& feature) {
  return feature.enumerated.empty() && feature.ranges.empty() &&
         std::all_of(feature.shape.begin(), feature.shape.end(), [](int64_t e) { return e >= 0; });
}

Tensor causal_mask(DType dtype, int64_t time, int64_t past) {
  Tensor mask(dtype, {1, 1, time, past + time});
  for (int64_t q = 0; q < time; ++q) {
    for (int64_t k = past + q + 1; k < past + time; ++k) {
      mask.set_number(q * (past + time) + k, kMasked);
    }
  }
  return mask;
}

Tensor attention_mask(DType dtype, CallShape ids, int64_t past, int64_t pads) {
  const int64_t width = past + ids.time;
  Tensor mask(dtype, {ids.batch, width});
  for (int64_t i = 0; i < mask.count(); ++i) mask.set_number(i, i % width < width - pads ? 1 : 0);
  return mask;
}

Tensor positions(DType dtype, const Shape& shape, int64_t past) {
  Tensor result(dtype, shape);
  for (int64_t i = 0; i < result.count(); ++i) result.set_integer(i, past + i % shape.back());
  return result;
}

// The name that says what an input is for, where it is spelt in another way; else "".
std::string usual_name(const FeatureDescription& input) {
  struct Spelling {
    const char *plain, *usual;
    int64_t least_rank, most_rank;
  };
  constexpr Spelling kSpellings[] = {{"inputids", "input_ids", 1, 2},
                                     {"tokenids", "input_ids", 1, 2},
                                     {"tokens", "input_ids", 1, 2},
                                     {"causalmask", "causal_mask", 4, 4},
                                     {"attentionmask", "attention_mask", 2, 2}};
  const std::string plain = plain_name(input.name);
  for (const Spelling& spelling : kSpellings) {
    const int64_t rank = rank_of(input);
    const bool fits = rank >= spelling.least_rank && rank <= spelling.most_rank;
    if (plain == spelling.plain && fits && input.name != spelling.usual) return spelling.usual;
  }
  return "";
}

// What to do about an input that has no role.
std::string remedy_for(const FeatureDescription& input,
                       const std::vector<FeatureDescription>& all) {
  if (usual_name(input).empty()) return "give all inputs by name with predict()";
  std::string renames;
  for (const FeatureDescription& other : all) {
    const std::string usual = usual_name(other);
    if (!usual.empty()) renames += fmt::format(" {}={}", other.name, usual);
  }
  return fmt::format("converting the model with {}{} gives it the name that says so",
                     setting("rename"), renames);
}

}  // namespace

Tensor rows_of(const Tensor& ids) {
  if (ids.rank() < 1 || ids.rank() > 2) {
    fail(ErrorCode::kInvalidArgument, "input_ids: expected [time] or [batch, time], got {}",
         to_string(ids.shape()));
  }
  return ids.rank() == 2 ? ids : ids.reshaped({1, ids.dim(0)});
}

Roles::Roles(const std::vector<FeatureDescription>& inputs, bool has_cache)
    : max_total_(kUnbounded) {
  for (const FeatureDescription& input : inputs) {
    if (!input.optional || contains(input.name, "input_ids")) add(input, inputs, has_cache);
  }
  const bool has_ids =
      std::any_of(roles_.begin(), roles_.end(), [](const Role& r) { return r.kind == Kind::kIds; });
  if (!has_ids) {
    fail(ErrorCode::kInvalidArgument,
         "the model has no input named input_ids; it is not a language model");
  }
}

void Roles::add(const FeatureDescription& input, const std::vector<FeatureDescription>& all,
                bool has_cache) {
  const int64_t rank = rank_of(input);
  Role role{input.name, Kind::kIds, input.dtype, rank};
  if (input.name == "input_ids" || (all.size() == 1 && !is_float(input.dtype))) {
    shapes_ = CallShapes(input);
  } else if (contains(input.name, "causal_mask") && rank == 4) {
    role.kind = Kind::kCausalMask;
    has_causal_mask_ = true;
    if (has_cache && is_fixed(input)) {
      fail(ErrorCode::kUnsupported,
           "input '{}': expected a mask as wide as the text so far, got a fixed width of {}; "
           "give all inputs by name with predict()",
           input.name, input.shape[3]);
    }
    max_total_ = largest(input, 3);
  } else if (contains(input.name, "attention_mask") && rank == 2) {
    role.kind = Kind::kAttentionMask;
  } else if (contains(input.name, "position") && rank <= 2) {
    role.kind = Kind::kPositions;
  } else {
    fail(ErrorCode::kInvalidArgument, "input '{}' ({} {}) cannot be made from token ids; {}",
         input.name, name_of(input.dtype), to_string(input.shape), remedy_for(input, all));
  }
  roles_.push_back(role);
}

TensorMap Roles::inputs_for(const Tensor& given, int64_t past, int64_t pads) const {
  const Tensor ids = rows_of(given);
  const int64_t batch = ids.dim(0), time = ids.dim(1);
  TensorMap inputs;
  for (const Role& role : roles_) {
    if (role.rank == 1 && batch != 1) {
      fail(ErrorCode::kInvalidArgument, "input '{}': expected a batch of one, got {}", role.name,
           batch);
    }
    const Shape shape = role.rank == 1 ? Shape{time} : Shape{batch, time};
    switch (role.kind) {
      case Kind::kIds:
        inputs[role.name] = ids.reshaped(shape);
        break;
      case Kind::kCausalMask:
        inputs[role.name] = causal_mask(role.dtype, time, past);
        break;
      case Kind::kAttentionMask:
        inputs[role.name] = attention_mask(role.dtype, {batch, time}, past, pads);
        break;
      case Kind::kPositions:
        inputs[role.name] = positions(role.dtype, shape, past);
        break;
    }
  }
  return inputs;
}

const std::string& Roles::ids_input() const {
  const auto is_ids = [](const Role& role) { return role.kind == Kind::kIds; };
  return std::find_if(roles_.begin(), roles_.end(), is_ids)->name;
}

}  // namespace mw::lm
