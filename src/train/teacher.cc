// Tokens are compared one by one; where rows and positions lie, either language model tells. A
// teacher by itself is called as evaluation calls a model.
#include "train/teacher.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <span>

#include "base/error.h"
#include "base/finite.h"

namespace mw::training {
namespace {

std::span<const int32_t> row_of(const Tensor& ids, int64_t row) {
  return {ids.data<int32_t>() + row * ids.dim(1), static_cast<size_t>(ids.dim(1))};
}

Tensor rows_from(const Tensor& ids, int64_t begin, int64_t count) {
  Tensor rows(DType::kI32, {count, ids.dim(1)});
  std::copy_n(ids.data<int32_t>() + begin * ids.dim(1), rows.count(), rows.mutable_data<int32_t>());
  return rows;
}

// A teacher may say that a class never comes; all else has to be a number.
void take_logits(const std::vector<float>& said, float* to, const std::string& output) {
  for (const float number : said) {
    if (std::isnan(number) || number == std::numeric_limits<float>::infinity()) {
      fail(ErrorCode::kInvalidArgument, "output '{}': expected logits, got {}", output,
           not_finite_text(number));
    }
    *to++ = std::max(number, kNever);
  }
}

[[noreturn]] void fail_classes(int64_t student, int64_t teacher) {
  fail(ErrorCode::kInvalidArgument,
       "expected logits of {} classes as the student's, got {}; both need the same vocabulary",
       student, teacher);
}

}  // namespace

// Models need not have tokenizers; where both have one, every id must be the same token.
void check_vocabularies(const lm::Model& student, const lm::Model& teacher) {
  const auto tokenizer_of = [](const lm::Model& model) -> const Tokenizer* {
    try {
      return &model.tokenizer();
    } catch (const Error&) {
      return nullptr;
    }
  };
  const Tokenizer* ours = tokenizer_of(student);
  const Tokenizer* theirs = tokenizer_of(teacher);
  if (ours == nullptr || theirs == nullptr || ours->path() == theirs->path()) return;
  if (ours->vocab_size() != theirs->vocab_size()) {
    fail(ErrorCode::kInvalidArgument,
         "{}: expected the student's vocabulary of {} tokens, got {}; distil from a teacher "
         "with the same tokenizer",
         setting("teacher"), ours->vocab_size(), theirs->vocab_size());
  }
  for (int64_t i = 0; i < std::max(ours->id_limit(), theirs->id_limit()); ++i) {
    const auto id = static_cast<int32_t>(i);
    const auto our_token = ours->id_to_token(id), their_token = theirs->id_to_token(id);
    if (our_token == their_token) continue;
    fail(ErrorCode::kInvalidArgument,
         "{}: token {}: expected the student's '{}', got '{}'; distil from a teacher with the "
         "same tokenizer",
         setting("teacher"), id, our_token.value_or(""), their_token.value_or(""));
  }
}

std::optional<TeacherLayout> layout_of_teacher(const Speaker& student, const Speaker& teacher,
                                               const Shapes& shapes) {
  try {
    const lm::LanguageModel ours(student.model, student.target);
    const lm::LanguageModel theirs(teacher.model, teacher.target);
    const Shape& ids = shapes.at(ours.roles().ids_input().name);
    const lm::CallShape call = {ids.size() == 1 ? 1 : ids[0], ids.back()};
    const lm::Layout here = ours.layout(call), there = theirs.layout(call);
    if (here.last_only || there.last_only) return std::nullopt;
    TeacherLayout layout{there.classes, {}};
    const bool several = call.batch > 1 && call.time > 1;
    if (several && here.time_first() != there.time_first()) {
      layout.turned =
          there.time_first() ? Shape{call.time, call.batch} : Shape{call.batch, call.time};
    }
    return layout;
  } catch (const Error&) {
    return std::nullopt;  // what the program of the step says, in a sentence
  }
}

Teacher::Teacher(std::shared_ptr<const lm::Model> model, const DistillOptions& options)
    : model_(std::move(model)), options_(options) {
  if (model_->target(options_.target).best) language().entry().expect_logits("learning from it");
}

const lm::LanguageModel& Teacher::language() const {
  if (!language_) language_.emplace(*model_, options_.target);
  return *language_;
}

void Teacher::keep(TeacherCache::Binding binding) {
  for (const auto& [name, digest] : model_->identity()) {
    binding.emplace_back("the teacher's " + name, digest);
  }
  binding.emplace_back("the teacher's output", model_->target(options_.target).name);
  binding.emplace_back("the teacher's roles",
                       fmt::format("{}", fmt::join(model_->stated_roles(), " ")));
  binding.emplace_back(TeacherCache::kTemperature, fmt::format("{}", options_.temperature));
  binding.emplace_back(TeacherCache::kTopK, std::to_string(options_.top_k));
  cache_.emplace(options_.cache, std::move(binding));
}

void Teacher::expect_window(int64_t time, bool last_only) const {
  const lm::LanguageModel& lm = language();
  const int64_t most = lm.has_cache() ? lm.max_total() : lm.shapes().max_time();
  if (time > most) {
    fail(ErrorCode::kInvalidArgument,
         "expected windows of at most {} tokens, which it takes, got {}; lower {}", most, time,
         setting("seq_len"));
  }
  if (!last_only) (void)lm.window(time, time);
}

// As many as it takes of that length, padded or not. Caches are of one text.
int64_t Teacher::rows_per_call(lm::CallShape ids) const {
  const lm::LanguageModel& lm = language();
  if (lm.has_cache()) return 1;
  int64_t rows = std::min(ids.batch, lm.shapes().max_batch());
  while (rows > 1 && !lm.shapes().padded({rows, ids.time})) --rows;
  return rows;
}

void Teacher::expect(lm::CallShape ids, bool last_only, int64_t classes) const {
  if (is_kept()) return;
  in_context([] { return setting("teacher"); },
             [&] {
               expect_window(ids.time, last_only);
               const int64_t its = language().classes(language().largest_call(ids.time));
               if (its != classes) fail_classes(classes, its);
             });
}

std::string Teacher::manner(lm::CallShape ids, bool last_only) const {
  if (is_kept()) return "";
  const lm::LanguageModel& lm = language();
  std::string manner;
  const int64_t rows = rows_per_call(ids);
  if (rows < ids.batch) {
    manner = rows == 1 ? ", row by row" : fmt::format(", {} rows at a time", rows);
  }
  if (lm.has_cache() && !lm.shapes().allow({1, ids.time})) {
    manner += manner.empty() ? ", through its cache" : " through its cache";
  }
  if (!last_only && lm.is_one_by_one(ids.time)) {
    manner += fmt::format(", with a call for each token, which is slow ({} keeps what it says)",
                          setting("teacher_cache"));
  }
  return manner;
}

Tensor Teacher::logits_of(const Tensor& ids, bool last_only) const {
  const lm::LanguageModel& lm = language();
  const int64_t rows = ids.dim(0), time = ids.dim(1), step = rows_per_call({rows, time});
  expect_window(time, last_only);
  const int64_t positions = last_only ? 1 : time;
  std::optional<Tensor> all;
  for (int64_t row = 0; row < rows; row += step) {
    const Tensor part = rows_from(ids, row, std::min(step, rows - row));
    const lm::Logits said = last_only ? lm.logits(part) : lm.every(part);
    if (!all) all.emplace(DType::kF32, Shape{rows, positions, said.classes()});
    for (int64_t i = 0; i < part.dim(0) * positions; ++i) {
      const int64_t from = last_only ? said.positions() - 1 : i % positions;
      take_logits(said.row(i / positions, from),
                  all->mutable_data<float>() + (row * positions + i) * said.classes(), lm.output());
    }
  }
  return *all;
}

Teacher::Said Teacher::say(const Tensor& ids, bool last_only, int64_t classes) {
  return in_context([] { return setting("teacher"); },
                    [&]() -> Said {
                      const int64_t positions = last_only ? 1 : ids.dim(1);
                      if (is_kept()) return from_file(ids, positions, classes);
                      Tensor logits = logits_of(ids, last_only);
                      if (logits.dim(2) != classes) fail_classes(classes, logits.dim(2));
                      return {std::move(logits), std::nullopt};
                    });
}

void Teacher::fill_file(const Tensor& ids, int64_t positions, int64_t classes) {
  std::vector<int32_t> missing;
  std::set<uint64_t> keys;
  for (int64_t row = 0; row < ids.dim(0); ++row) {
    const auto tokens = row_of(ids, row);
    const uint64_t key = TeacherCache::key_of(tokens, positions);
    if (cache_->has(key) || !keys.insert(key).second) continue;
    missing.insert(missing.end(), tokens.begin(), tokens.end());
  }
  if (missing.empty()) return;
  const Tensor rows = Tensor::from(missing, {static_cast<int64_t>(keys.size()), ids.dim(1)});
  const Tensor logits = logits_of(rows, positions < ids.dim(1));
  if (logits.dim(2) != classes) fail_classes(classes, logits.dim(2));
  for (int64_t row = 0; row < rows.dim(0); ++row) {
    const Tensor said(DType::kF32, {positions, classes}, logits.owner(),
                      logits.data<float>() + row * positions * classes);
    cache_->add(TeacherCache::key_of(row_of(rows, row), positions),
                top_classes(said, options_.top_k, options_.temperature));
  }
}

Teacher::Said Teacher::from_file(const Tensor& ids, int64_t positions, int64_t classes) {
  fill_file(ids, positions, classes);
  const int64_t rows = ids.dim(0);
  Tensor known(DType::kF32, {rows, positions, classes}), rest(DType::kF32, {rows, positions});
  std::fill_n(known.mutable_data<float>(), known.count(), ops::kNotAmongThem);
  for (int64_t row = 0; row < rows; ++row) {
    const auto said = cache_->find(TeacherCache::key_of(row_of(ids, row), positions));
    MW_CHECK(said.has_value());
    if (said->classes != classes) fail_classes(classes, said->classes);
    MW_CHECK(said->positions == positions);
    for (int64_t i = 0; i < positions * said->kept; ++i) {
      const int64_t at = (row * positions + i / said->kept) * classes;
      const auto from = static_cast<size_t>(i);
      known.mutable_data<float>()[at + said->ids[from]] = said->known[from];
    }
    std::ranges::copy(said->rest, rest.mutable_data<float>() + row * positions);
  }
  return {std::move(known), std::move(rest)};
}

}  // namespace mw::training
