// LanguageModel: calls padded to what the model takes, and the logits that come back.
#include "lm/language_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace mw::lm {
namespace {

Tensor padded_ids(const Tensor& ids, CallShape to) {
  Tensor padded(ids.dtype(), {to.batch, to.time});
  for (int64_t b = 0; b < ids.dim(0); ++b) {
    for (int64_t t = 0; t < ids.dim(1); ++t) {
      padded.set_integer(b * to.time + t, ids.integer_at(b * ids.dim(1) + t));
    }
  }
  return padded;
}

}  // namespace

LanguageModel::LanguageModel(const Model& model, const std::string& target)
    : model_(model),
      has_cache_(!model.states().empty()),
      roles_(model.inputs(), has_cache_),
      target_(model.target(target)) {}

Asked LanguageModel::asked(CallShape ids) const {
  return {ids.batch,
          ids.time,
          &target_.value->type,
          [this] { return model_.vocabulary(); },
          model_.ending(output(), [&] { return input_shapes(ids); }),
          [this, ids] { return time_first(ids); }};
}

// Told by a call of another shape. Where the model takes no other, the usual order counts.
bool LanguageModel::time_first(CallShape ids) const {
  const CallShape others[] = {{ids.batch, ids.time + 1},
                              {ids.batch, ids.time - 1},
                              {ids.batch + 1, ids.time},
                              {ids.batch - 1, ids.time}};
  for (const CallShape& other : others) {
    if (other.batch < 2 || other.time < 2 || !shapes().allow(other)) continue;
    return layout(other).time_first();
  }
  return false;
}

Shapes LanguageModel::input_shapes(CallShape ids) const {
  const Tensor zeros(DType::kI32, {ids.batch, ids.time});
  Shapes shapes;
  for (const auto& [name, tensor] : model_.prepare(inputs_for(zeros, 0))) {
    shapes[name] = tensor.shape();
  }
  return shapes;
}

Shape LanguageModel::output_shape(CallShape ids) const {
  if (const auto known = model_.shape_of(output(), input_shapes(ids))) return *known;
  exec::States states = model_.make_states();
  const Tensor zeros(DType::kI32, {ids.batch, ids.time});
  return run(inputs_for(zeros, 0), ids, states).values().shape();
}

Layout LanguageModel::layout(CallShape ids) const {
  return layout_of(output_shape(ids), asked(ids), output());
}

int64_t LanguageModel::classes(CallShape ids) const {
  const Shape shape = output_shape(ids);
  return shape[static_cast<size_t>(layout_of(shape, asked(ids), output()).classes)];
}

LanguageModel::LabelForm LanguageModel::label_form(CallShape ids) const {
  expect_all_positions(ids, "training");
  LabelForm form{.shape = output_shape(ids)};
  const Layout found = layout_of(form.shape, asked(ids), output());
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

Logits LanguageModel::run(const TensorMap& inputs, CallShape ids, exec::States& states) const {
  const exec::RunResult result = model_.run(inputs, states);
  return in_context([&] { return model_.name(); },
                    [&] { return read_logits(result.outputs.at(output()), asked(ids), output()); });
}

void LanguageModel::fail_last_only(int64_t time) const {
  throw Error(
      ErrorCode::kInvalidArgument,
      fmt::format("output '{}' holds logits for the last token only, and the model takes {} "
                  "tokens: expected a text of as many, got {}; the last token of a padded one "
                  "would be a pad",
                  output(), shapes().times_text(), time),
      model_.name());
}

Logits LanguageModel::logits(const Tensor& given) const {
  const Tensor ids = rows_of(given);
  const CallShape shape = {ids.dim(0), ids.dim(1)};
  if (shape.time < 1) {
    fail(ErrorCode::kInvalidArgument, "input_ids: expected at least one token, got none");
  }
  if (shape.time > shapes().max_time()) {
    fail(ErrorCode::kInvalidArgument,
         "input_ids: expected at most {} tokens, got {}; shorten the input", shapes().max_time(),
         shape.time);
  }
  const auto padded = shapes().padded(shape);
  if (shape.batch < 1) {
    fail(ErrorCode::kInvalidArgument, "input_ids: expected at least one row, got none");
  }
  if (!padded) {
    fail(ErrorCode::kInvalidArgument, "input_ids: expected a batch of at most {}, got {}",
         shapes().max_batch(), shape.batch);
  }
  exec::States states = model_.make_states();
  if (shapes().allow(shape)) return run(inputs_for(ids, 0), shape, states);
  const Logits full =
      run(inputs_for(padded_ids(ids, *padded), 0, padded->time - shape.time), *padded, states);
  if (full.last_only() && padded->time != shape.time) fail_last_only(shape.time);
  return full.cut(shape.batch, full.last_only() ? 1 : shape.time);
}

int64_t LanguageModel::window(int64_t wanted, int64_t usual, const std::string& purpose) const {
  const int64_t most = shapes().max_time();
  int64_t window = wanted;
  if (window == 0) window = std::min(has_cache_ ? std::max(max_total(), most) : most, usual);
  if (has_cache_ && (most == 1 || (wanted == 0 && window > most))) {
    fail(ErrorCode::kUnsupported,
         "the model takes {} token{} a call and keeps those before in its states, and {} needs "
         "whole windows in one call{}",
         most, most == 1 ? "" : "s", purpose,
         most == 1
             ? ""
             : fmt::format("; windows of {} tokens ({}) are possible", most, setting("seq_len")));
  }
  if (window > most) {
    fail(ErrorCode::kInvalidArgument, "{} {}: the model takes at most {} tokens",
         setting("seq_len"), window, most);
  }
  return window;
}

void LanguageModel::expect_all_positions(CallShape ids, const std::string& purpose) const {
  if (ids.time == 1 || !layout(ids).last_only) return;
  fail(ErrorCode::kUnsupported,
       "output '{}' holds logits for the last token only, and {} needs those of every token",
       output(), purpose);
}

}  // namespace mw::lm
