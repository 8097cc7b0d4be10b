// LanguageModel: roles by name and shape, masks and positions made for the caller, logits.
#include "api/language_model.h"

#include <algorithm>
#include <limits>

#include "api/impl.h"
#include "base/error.h"
#include "base/plain_name.h"
#include "ops/catalog.h"
#include "passes/specialise.h"

namespace mw {
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

Tensor attention_mask(DType dtype, lm::CallShape ids, int64_t past, int64_t pads) {
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

Tensor rows_of(const Tensor& ids) {
  if (ids.rank() < 1 || ids.rank() > 2) {
    fail(ErrorCode::kInvalidArgument, "input_ids: expected [time] or [batch, time], got {}",
         to_string(ids.shape()));
  }
  return ids.rank() == 2 ? ids : ids.reshaped({1, ids.dim(0)});
}

Tensor padded_ids(const Tensor& ids, lm::CallShape to) {
  Tensor padded(ids.dtype(), {to.batch, to.time});
  for (int64_t b = 0; b < ids.dim(0); ++b) {
    for (int64_t t = 0; t < ids.dim(1); ++t) {
      padded.set_integer(b * to.time + t, ids.integer_at(b * ids.dim(1) + t));
    }
  }
  return padded;
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
  return fmt::format("`millwright convert MODEL OUTPUT --rename{}` gives it the name that says so",
                     renames);
}

}  // namespace

LanguageModel::LanguageModel(const CoreMLModelWrapper& model, const std::string& target)
    : model_(model) {
  find_inputs();
  const lm::Target found = model.impl().target(target);
  output_ = found.name;
  value_ = found.value;
}

void LanguageModel::find_inputs() {
  const std::vector<FeatureDescription> inputs = model_.inputs();
  has_cache_ = !model_.states().empty();
  max_total_ = kUnbounded;
  for (const FeatureDescription& input : inputs) {
    if (input.optional && !contains(input.name, "input_ids")) continue;
    const int64_t rank = rank_of(input);
    Role role{input.name, Role::Kind::kIds, input.dtype, rank};
    if (input.name == "input_ids" || (inputs.size() == 1 && !is_float(input.dtype))) {
      shapes_ = lm::CallShapes(input);
    } else if (contains(input.name, "causal_mask") && rank == 4) {
      role.kind = Role::Kind::kCausalMask;
      has_causal_mask_ = true;
      if (has_cache_ && is_fixed(input)) {
        fail(ErrorCode::kUnsupported,
             "input '{}': expected a mask as wide as the text so far, got a fixed width of {}; "
             "give all inputs by name with predict()",
             input.name, input.shape[3]);
      }
      max_total_ = largest(input, 3);
    } else if (contains(input.name, "attention_mask") && rank == 2) {
      role.kind = Role::Kind::kAttentionMask;
    } else if (contains(input.name, "position") && rank <= 2) {
      role.kind = Role::Kind::kPositions;
    } else {
      fail(ErrorCode::kInvalidArgument, "input '{}' ({} {}) cannot be made from token ids; {}",
           input.name, name_of(input.dtype), to_string(input.shape), remedy_for(input, inputs));
    }
    roles_.push_back(role);
  }
  const bool has_ids = std::any_of(roles_.begin(), roles_.end(),
                                   [](const Role& r) { return r.kind == Role::Kind::kIds; });
  if (!has_ids) {
    fail(ErrorCode::kInvalidArgument,
         "the model has no input named input_ids; it is not a language model");
  }
}

TensorMap LanguageModel::inputs_for(const Tensor& given, int64_t past, int64_t pads) const {
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
      case Role::Kind::kIds:
        inputs[role.name] = ids.reshaped(shape);
        break;
      case Role::Kind::kCausalMask:
        inputs[role.name] = causal_mask(role.dtype, time, past);
        break;
      case Role::Kind::kAttentionMask:
        inputs[role.name] = attention_mask(role.dtype, {batch, time}, past, pads);
        break;
      case Role::Kind::kPositions:
        inputs[role.name] = positions(role.dtype, shape, past);
        break;
    }
  }
  return inputs;
}

const std::string& LanguageModel::ids_input() const {
  const auto is_ids = [](const Role& role) { return role.kind == Role::Kind::kIds; };
  return std::find_if(roles_.begin(), roles_.end(), is_ids)->name;
}

lm::Asked LanguageModel::asked(lm::CallShape ids) const {
  return {ids.batch,
          ids.time,
          &value_->type,
          [this] { return model_.impl().vocabulary(); },
          model_.impl().ending(output_, [&] { return input_shapes(ids); }),
          [this, ids] { return time_first(ids); }};
}

// Told by a call of another shape. Where the model takes no other, the usual order counts.
bool LanguageModel::time_first(lm::CallShape ids) const {
  const lm::CallShape others[] = {{ids.batch, ids.time + 1},
                                  {ids.batch, ids.time - 1},
                                  {ids.batch + 1, ids.time},
                                  {ids.batch - 1, ids.time}};
  for (const lm::CallShape& other : others) {
    if (other.batch < 2 || other.time < 2 || !shapes_.allow(other)) continue;
    return layout(other).time_first();
  }
  return false;
}

Shapes LanguageModel::input_shapes(lm::CallShape ids) const {
  const Tensor zeros(DType::kI32, {ids.batch, ids.time});
  Shapes shapes;
  for (const auto& [name, tensor] : model_.impl().prepare(inputs_for(zeros, 0))) {
    shapes[name] = tensor.shape();
  }
  return shapes;
}

Shape LanguageModel::output_shape(lm::CallShape ids) const {
  const auto function =
      passes::specialise(*model_.impl().function, ops::catalog(), {.shapes = input_shapes(ids)});
  for (const ir::Value* value : function->body.outputs) {
    if (value->name == output_ && value->type.is_static() && value->type.is_tensor()) {
      return value->type.shape();
    }
  }
  // A dictionary, or what only a run tells.
  State state = model_.make_state();
  const Tensor zeros(DType::kI32, {ids.batch, ids.time});
  const lm::Logits logits = run(inputs_for(zeros, 0), ids, &state);
  return logits.values().shape();
}

lm::Layout LanguageModel::layout(lm::CallShape ids) const {
  return lm::layout_of(output_shape(ids), asked(ids), output_);
}

int64_t LanguageModel::classes(lm::CallShape ids) const {
  const Shape shape = output_shape(ids);
  return shape[static_cast<size_t>(lm::layout_of(shape, asked(ids), output_).classes)];
}

LanguageModel::LabelForm LanguageModel::label_form(lm::CallShape ids) const {
  expect_all_positions(ids, "training");
  LabelForm form{.shape = output_shape(ids)};
  const lm::Layout found = lm::layout_of(form.shape, asked(ids), output_);
  form.shape.erase(form.shape.begin() + found.classes);
  form.time_first = found.time_first();
  return form;
}

Tensor LanguageModel::LabelForm::of(const Tensor& labels) const {
  if (count_of(shape) != labels.count()) return labels;
  if (!time_first) return labels.reshaped(shape);
  const int64_t batch = labels.dim(0), time = labels.dim(1);
  Tensor turned(labels.dtype(), shape);
  for (int64_t i = 0; i < labels.count(); ++i) {
    turned.set_number(i % time * batch + i / time, labels.number_at(i));
  }
  return turned;
}

lm::Logits LanguageModel::run(const TensorMap& inputs, lm::CallShape ids, State* state) const {
  const exec::RunResult result = model_.impl().run(inputs, state, {});
  return in_context(
      [&] { return model_.path().string(); },
      [&] { return lm::read_logits(result.outputs.at(output_), asked(ids), output_); });
}

void LanguageModel::fail_last_only(int64_t time) const {
  throw Error(
      ErrorCode::kInvalidArgument,
      fmt::format("output '{}' holds logits for the last token only, and the model takes {} "
                  "tokens: expected a text of as many, got {}; the last token of a padded one "
                  "would be a pad",
                  output_, shapes_.times_text(), time),
      model_.path().string());
}

lm::Logits LanguageModel::logits(const Tensor& given) const {
  const Tensor ids = rows_of(given);
  const lm::CallShape shape = {ids.dim(0), ids.dim(1)};
  if (shape.time < 1) {
    fail(ErrorCode::kInvalidArgument, "input_ids: expected at least one token, got none");
  }
  if (shape.time > shapes_.max_time()) {
    fail(ErrorCode::kInvalidArgument,
         "input_ids: expected at most {} tokens, got {}; shorten the input", shapes_.max_time(),
         shape.time);
  }
  const auto padded = shapes_.padded(shape);
  if (shape.batch < 1) {
    fail(ErrorCode::kInvalidArgument, "input_ids: expected at least one row, got none");
  }
  if (!padded) {
    fail(ErrorCode::kInvalidArgument, "input_ids: expected a batch of at most {}, got {}",
         shapes_.max_batch(), shape.batch);
  }
  State state = model_.make_state();
  if (shapes_.allow(shape)) return run(inputs_for(ids, 0), shape, &state);
  const lm::Logits full =
      run(inputs_for(padded_ids(ids, *padded), 0, padded->time - shape.time), *padded, &state);
  if (full.last_only() && padded->time != shape.time) fail_last_only(shape.time);
  return full.cut(shape.batch, full.last_only() ? 1 : shape.time);
}

int64_t LanguageModel::window(int64_t wanted, int64_t usual, const std::string& purpose) const {
  const int64_t most = shapes_.max_time();
  int64_t window = wanted;
  if (window == 0) window = std::min(has_cache_ ? std::max(max_total_, most) : most, usual);
  if (has_cache_ && (most == 1 || (wanted == 0 && window > most))) {
    fail(ErrorCode::kUnsupported,
         "the model takes {} token{} a call and keeps those before in its states, and {} needs "
         "whole windows in one call{}",
         most, most == 1 ? "" : "s", purpose,
         most == 1 ? "" : fmt::format("; windows of {} tokens (--seq-len) are possible", most));
  }
  if (window > most) {
    fail(ErrorCode::kInvalidArgument, "--seq-len {}: the model takes at most {} tokens", window,
         most);
  }
  return window;
}

void LanguageModel::expect_all_positions(lm::CallShape ids, const std::string& purpose) const {
  if (ids.time == 1 || !layout(ids).last_only) return;
  fail(ErrorCode::kUnsupported,
       "output '{}' holds logits for the last token only, and {} needs those of every token",
       output_, purpose);
}

}  // namespace mw
