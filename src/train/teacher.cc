// Tokens are compared one by one; where rows and positions lie, either language model tells.
#include "train/teacher.h"

#include <algorithm>

#include "base/error.h"
#include "lm/language_model.h"

namespace mw::training {

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

}  // namespace mw::training
