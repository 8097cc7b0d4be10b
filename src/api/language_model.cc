// LanguageModel: roles by name and shape, masks and positions made for the caller, streams.
#include "api/language_model.h"

#include <algorithm>
#include <limits>

#include "api/impl.h"
#include "base/error.h"

namespace mw {
namespace {

constexpr int64_t kUnbounded = std::numeric_limits<int64_t>::max();
// What masks hold where attention is not allowed: finite, so that fp16 keeps it.
constexpr double kMasked = -1e4;

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
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
  return feature.enumerated.empty() && feature.ranges.empty();
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

}  // namespace

LanguageModel::LanguageModel(const CoreMLModelWrapper& model, const std::string& target)
    : model_(model) {
  find_inputs();
  output_ = model.impl().target(target).name;
}

void LanguageModel::find_inputs() {
  const std::vector<FeatureDescription> inputs = model_.inputs();
  has_cache_ = !model_.states().empty();
  for (const FeatureDescription& input : inputs) {
    if (input.optional && !contains(input.name, "input_ids")) continue;
    const auto rank = static_cast<int64_t>(std::max(input.shape.size(), input.ranges.size()));
    Role role{input.name, Role::Kind::kIds, input.dtype, rank};
    if (input.name == "input_ids" || (inputs.size() == 1 && !is_float(input.dtype))) {
      role.kind = Role::Kind::kIds;
    } else if (contains(input.name, "causal_mask") && rank == 4) {
      role.kind = Role::Kind::kCausalMask;
      max_total_ = largest(input, 3);
    } else if (contains(input.name, "attention_mask") && rank == 2) {
      role.kind = Role::Kind::kAttentionMask;
    } else if (contains(input.name, "position") && rank <= 2) {
      role.kind = Role::Kind::kPositions;
    } else {
      fail(ErrorCode::kInvalidArgument,
           "input '{}' ({} {}) cannot be made from token ids; give all inputs by name with "
           "predict()",
           input.name, name_of(input.dtype), to_string(input.shape));
    }
    if (role.kind == Role::Kind::kIds) {
      if (rank < 1 || rank > 2) {
        fail(ErrorCode::kInvalidArgument, "input '{}': expected token ids of rank 1 or 2, got {}",
             input.name, to_string(input.shape));
      }
      const size_t time_axis = static_cast<size_t>(rank - 1);
      max_time_ = largest(input, time_axis);
      max_batch_ = rank == 2 ? largest(input, 0) : 1;
      if (is_fixed(input)) {
        fixed_time_ = input.shape[time_axis];
        fixed_batch_ = rank == 2 ? input.shape[0] : 1;
      }
    }
    roles_.push_back(role);
  }
  const bool has_ids = std::any_of(roles_.begin(), roles_.end(),
                                   [](const Role& r) { return r.kind == Role::Kind::kIds; });
  if (!has_ids) {
    fail(ErrorCode::kInvalidArgument,
         "the model has no input named input_ids; it is not a language model");
  }
  if (max_total_ == 0) max_total_ = max_time_;
}

TensorMap LanguageModel::inputs_for(const Tensor& ids, int64_t past) const {
  const int64_t batch = ids.dim(0), time = ids.dim(1);
  TensorMap inputs;
  for (const Role& role : roles_) {
    const Shape shape = role.rank == 1 ? Shape{time} : Shape{batch, time};
    switch (role.kind) {
      case Role::Kind::kIds:
        inputs[role.name] = ids.reshaped(shape);
        break;
      case Role::Kind::kCausalMask:
        inputs[role.name] = causal_mask(role.dtype, time, past);
        break;
      case Role::Kind::kAttentionMask: {
        Tensor mask(role.dtype, {batch, past + time});
        for (int64_t i = 0; i < mask.count(); ++i) mask.set_number(i, 1);
        inputs[role.name] = mask;
        break;
      }
      case Role::Kind::kPositions: {
        Tensor positions(role.dtype, shape);
        for (int64_t i = 0; i < positions.count(); ++i) positions.set_integer(i, past + i % time);
        inputs[role.name] = positions;
        break;
      }
    }
  }
  return inputs;
}

Tensor LanguageModel::run(const TensorMap& inputs, State* state) const {
  exec::RunResult result = model_.impl().run(inputs, state, {});
  Tensor logits = result.outputs.at(output_).tensor;
  if (logits.rank() == 2) logits = logits.reshaped({1, logits.dim(0), logits.dim(1)});
  if (logits.rank() != 3 || !is_float(logits.dtype())) {
    fail(ErrorCode::kInvalidArgument,
         "output '{}': expected logits [batch, time, vocabulary], got {} {}", output_,
         name_of(logits.dtype()), to_string(logits.shape()));
  }
  return logits.to(DType::kF32);
}

Tensor LanguageModel::logits(const Tensor& ids) const {
  const int64_t batch = ids.dim(0), time = ids.dim(1);
  if (time < 1) {
    fail(ErrorCode::kInvalidArgument, "input_ids: expected at least one token, got none");
  }
  if (time > max_time_) {
    fail(ErrorCode::kInvalidArgument,
         "input_ids: expected at most {} tokens, got {}; shorten the input", max_time_, time);
  }
  if (batch > max_batch_) {
    fail(ErrorCode::kInvalidArgument, "input_ids: expected a batch of at most {}, got {}",
         max_batch_, batch);
  }
  State state = model_.make_state();
  if (fixed_time_ == 0 || (fixed_time_ == time && fixed_batch_ == batch)) {
    return run(inputs_for(ids, 0), &state);
  }
  // Padding on the right changes nothing to its left in a causal model.
  Tensor padded(DType::kI32, {fixed_batch_, fixed_time_});
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t t = 0; t < time; ++t) {
      padded.set_integer(b * fixed_time_ + t, ids.integer_at(b * time + t));
    }
  }
  const Tensor full = run(inputs_for(padded, 0), &state);
  const int64_t vocabulary = full.dim(2);
  Tensor cut(DType::kF32, {batch, time, vocabulary});
  for (int64_t b = 0; b < batch; ++b) {
    std::copy_n(full.data<float>() + b * full.dim(1) * vocabulary, time * vocabulary,
                cut.mutable_data<float>() + b * time * vocabulary);
  }
  return cut;
}

LanguageModel::Stream::Stream(const LanguageModel& model)
    : model_(model), state_(model.model_.make_state()) {}

std::vector<float> LanguageModel::Stream::extend(const std::vector<int32_t>& ids) {
  if (ids.empty()) fail(ErrorCode::kInvalidArgument, "the prompt has no tokens");
  if (model_.has_cache_) return extend_cache(ids);
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  const auto window = std::min<int64_t>(size(), model_.max_time_);
  const std::vector<int32_t> tail(ids_.end() - window, ids_.end());
  const Tensor logits = model_.logits(Tensor::from(tail, {1, window}));
  const float* last = logits.data<float>() + (window - 1) * logits.dim(2);
  return {last, last + logits.dim(2)};
}

std::vector<float> LanguageModel::Stream::extend_cache(const std::vector<int32_t>& ids) {
  std::vector<float> next;
  const int64_t chunk = model_.fixed_time_ > 0 ? model_.fixed_time_ : model_.max_time_;
  for (size_t at = 0; at < ids.size();) {
    const auto count = std::min<int64_t>(static_cast<int64_t>(ids.size() - at), chunk);
    if (size() + count > model_.max_total_) {
      fail(ErrorCode::kInvalidArgument,
           "the cache holds {} tokens and is full; shorten the prompt or --max-tokens",
           model_.max_total_);
    }
    const std::vector<int32_t> part(ids.begin() + static_cast<int64_t>(at),
                                    ids.begin() + static_cast<int64_t>(at) + count);
    const Tensor logits =
        model_.run(model_.inputs_for(Tensor::from(part, {1, count}), size()), &state_);
    const float* last = logits.data<float>() + (logits.dim(1) - 1) * logits.dim(2);
    next.assign(last, last + logits.dim(2));
    ids_.insert(ids_.end(), part.begin(), part.end());
    at += static_cast<size_t>(count);
  }
  return next;
}

}  // namespace mw
