// LanguageModel: texts padded or cut into calls that the model takes, and the logits that come
// back.
#include "lm/language_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace mw::lm {
namespace {

Tensor padded_ids(const Tensor& ids, CallShape to, int64_t pad) {
  Tensor padded(ids.dtype(), {to.batch, to.time});
  for (int64_t b = 0; b < to.batch; ++b) {
    for (int64_t t = 0; t < to.time; ++t) {
      const bool inside = b < ids.dim(0) && t < ids.dim(1);
      padded.set_integer(b * to.time + t, inside ? ids.integer_at(b * ids.dim(1) + t) : pad);
    }
  }
  return padded;
}

Tensor beginning(const Tensor& ids, int64_t time) {
  Tensor part(ids.dtype(), {ids.dim(0), time});
  for (int64_t i = 0; i < part.count(); ++i) {
    part.set_integer(i, ids.integer_at(i / time * ids.dim(1) + i % time));
  }
  return part;
}

// Rows of [batch, positions, classes], filled as they come.
class Gathered {
 public:
  Gathered(int64_t batch, int64_t positions) : batch_(batch), positions_(positions) {}

  // Position `from` of row `row` of what came, as position `to` of row `batch`.
  void put(const Logits& logits, int64_t row, int64_t from, int64_t batch, int64_t to) {
    if (!values_) {
      values_.emplace(DType::kF32, Shape{batch_, positions_, logits.classes()});
      numbers_ = logits.numbers();
    }
    const int64_t classes = values_->dim(2);
    MW_CHECK(logits.classes() == classes && batch < batch_ && to >= 0 && to < positions_);
    std::copy_n(logits.values().data<float>() + (row * logits.positions() + from) * classes,
                classes, values_->mutable_data<float>() + (batch * positions_ + to) * classes);
  }
  [[nodiscard]] Logits take(bool last_only, const std::string& name) const {
    MW_CHECK(values_.has_value());
    return {*values_, last_only, numbers_, name};
  }

 private:
  int64_t batch_, positions_;
  std::optional<Tensor> values_;
  Numbers numbers_ = Numbers::kUnknown;
};

}  // namespace

LanguageModel::LanguageModel(const Model& model, const std::string& target)
    : entry_(model, target) {}

LanguageModel::LabelForm LanguageModel::label_form(CallShape ids) const {
  entry_.expect_logits("training");
  LabelForm form{.shape = entry_.output_shape(ids)};
  const Layout found = layout(ids);
  form.shape.erase(form.shape.begin() + found.classes);
  form.time_first = found.time_first();
  form.last_only = found.last_only;
  return form;
}

Tensor LanguageModel::LabelForm::of(const Tensor& given) const {
  Tensor labels = given;
  if (last_only) {
    const Tensor rows = rows_of(given);
    labels = Tensor(given.dtype(), {rows.dim(0), 1});
    for (int64_t row = 0; row < rows.dim(0); ++row) {
      labels.set_number(row, rows.number_at((row + 1) * rows.dim(1) - 1));
    }
  }
  if (count_of(shape) != labels.count()) return given;
  if (!time_first) return labels.reshaped(shape);
  const int64_t batch = labels.dim(0), time = labels.dim(1);
  Tensor turned(labels.dtype(), shape);
  for (int64_t i = 0; i < labels.count(); ++i) {
    turned.set_number(i % time * batch + i / time, labels.number_at(i));
  }
  return turned;
}

Logits LanguageModel::logits(const Tensor& ids) const { return of_text(ids, Calls::Want::kEvery); }
Logits LanguageModel::last(const Tensor& ids) const { return of_text(ids, Calls::Want::kLast); }

Logits LanguageModel::of_text(const Tensor& given, Calls::Want want) const {
  const Tensor ids = rows_of(given);
  const CallShape shape = {ids.dim(0), ids.dim(1)};
  if (shape.time < 1) {
    fail(ErrorCode::kInvalidArgument, "input_ids: expected at least one token, got none");
  }
  if (shape.batch < 1) {
    fail(ErrorCode::kInvalidArgument, "input_ids: expected at least one row, got none");
  }
  const bool fits = shapes().allow(shape) && shape.time <= max_total();
  if (!has_cache() || fits) return in_one_call(ids, want);
  const bool one = entry_.last_only(largest_call(shape.time));
  return through_cache(ids, one ? Calls::Want::kLast : want);
}

Logits LanguageModel::in_one_call(const Tensor& ids, Calls::Want want) const {
  const CallShape shape = {ids.dim(0), ids.dim(1)};
  if (shape.time > shapes().max_time()) {
    fail(ErrorCode::kInvalidArgument,
         "input_ids: expected at most {} tokens, got {}; shorten the input", shapes().max_time(),
         shape.time);
  }
  const auto padded = shapes().padded(shape);
  if (!padded) {
    fail(ErrorCode::kInvalidArgument, "input_ids: expected a batch of at most {}, got {}",
         shapes().max_batch(), shape.batch);
  }
  const bool fits = shapes().allow(shape), every = want == Calls::Want::kEvery;
  const int64_t pads = fits ? 0 : padded->time - shape.time;
  const Tensor call = fits ? ids : padded_ids(ids, *padded, 0);
  Memory memory = entry_.make_memory();
  Logits full = every ? entry_.run(call, {.pads = pads}, memory)
                      : entry_.run_for(call, {.pads = pads}, memory, shape.time - 1);
  if (fits) return full;
  if (!full.last_only()) return full.cut(shape.batch, every ? shape.time : 1);
  if (pads > 0 && !pads_are_left_out(*padded)) entry_.fail_last_only(shape.time);
  return full.cut(shape.batch, 1);
}

// Whether the last token's logits are the last one's that a mask lets through, and not a pad's: two
// pads that differ tell.
bool LanguageModel::pads_are_left_out(CallShape padded) const {
  if (!roles().masks_pads() || padded.time < 2) return false;
  if (const int known = leaves_pads_out_; known >= 0) return known == 1;
  const auto with = [&](int64_t pad) {
    Memory memory = entry_.make_memory();
    const Tensor one(DType::kI32, {padded.batch, 1});
    return entry_.run(padded_ids(one, padded, pad), {.pads = padded.time - 1}, memory).values();
  };
  const Tensor a = with(0), b = with(1);
  const bool same = std::equal(a.data<float>(), a.data<float>() + a.count(), b.data<float>());
  leaves_pads_out_ = same ? 1 : 0;
  return same;
}

Logits LanguageModel::through_cache(const Tensor& ids, Calls::Want want) const {
  const int64_t rows = ids.dim(0), time = ids.dim(1);
  const bool every = want == Calls::Want::kEvery;
  Gathered gathered(rows, every ? time : 1);
  for (int64_t row = 0; row < rows; ++row) {
    Calls calls(entry_);
    std::vector<int32_t> text;
    for (int64_t t = 0; t < time; ++t) {
      text.push_back(static_cast<int32_t>(ids.integer_at(row * time + t)));
    }
    calls.extend(text, want, [&](int64_t begin, const Logits& logits) {
      if (!every) {
        gathered.put(logits, 0, logits.positions() - 1, row, 0);
        return;
      }
      for (int64_t p = 0; p < logits.positions(); ++p) {
        gathered.put(logits, 0, p, row, begin + p);
      }
    });
  }
  return gathered.take(!every && entry_.last_only(largest_call(time)), output());
}

Logits LanguageModel::by_prefixes(const Tensor& ids) const {
  const int64_t rows = ids.dim(0), time = ids.dim(1);
  Gathered gathered(rows, time);
  for (int64_t t = 0; t < time; ++t) {
    const Logits logits = this->logits(beginning(ids, t + 1));
    for (int64_t row = 0; row < rows; ++row) gathered.put(logits, row, 0, row, t);
  }
  return gathered.take(false, output());
}

Logits LanguageModel::every(const Tensor& given) const {
  entry_.expect_logits("a score");
  const Tensor ids = rows_of(given);
  if (!is_one_by_one(ids.dim(1))) return logits(ids);
  return has_cache() ? through_cache(ids, Calls::Want::kEvery) : by_prefixes(ids);
}

CallShape LanguageModel::largest_call(int64_t time) const {
  const int64_t longest = has_cache() ? shapes().longest(time) : time;
  return shapes().padded({1, std::max<int64_t>(longest, 1)}).value_or(CallShape{1, time});
}

bool LanguageModel::is_one_by_one(int64_t time) const {
  return entry_.last_only(largest_call(time));
}

bool LanguageModel::takes_any_length() const {
  if (has_cache()) {
    const bool pads = roles().can_rewrite() && !is_one_by_one(shapes().min_time());
    return shapes().min_time() == 1 || pads;
  }
  return shapes().min_time() == 1 || !is_one_by_one(shapes().max_time()) || roles().masks_pads();
}

int64_t LanguageModel::window(int64_t wanted, int64_t usual) const {
  const int64_t most = has_cache() ? max_total() : shapes().max_time();
  if (wanted > most) {
    fail(ErrorCode::kInvalidArgument, "{} {}: the model takes at most {} tokens",
         setting("seq_len"), wanted, most);
  }
  const int64_t window = wanted > 0 ? wanted : std::min(most, usual);
  // Every beginning of it ends a call.
  if (is_one_by_one(window) && !takes_any_length()) entry_.fail_last_only(1);
  return window;
}

}  // namespace mw::lm
