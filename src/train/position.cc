// Numbers of a checkpoint's position against each other and against the data.
#include "train/position.h"

#include "base/error.h"
#include "train/batches.h"

namespace mw::training {

int64_t examples_of_step(int64_t batch_size, int64_t accumulate, int64_t steps) {
  int64_t examples = 0, all = 0;
  if (__builtin_mul_overflow(batch_size, accumulate, &examples) ||
      __builtin_mul_overflow(examples, steps, &all)) {
    fail(ErrorCode::kInvalidArgument,
         "{} {}, {} {}, {} {}: expected fewer examples in all than 2^63", setting("batch_size"),
         batch_size, setting("accumulate"), accumulate, setting("steps"), steps);
  }
  return examples;
}

void check_position(const Checkpoint& checkpoint, const TrainingData& data,
                    int64_t examples_per_step) {
  const RunPosition& position = checkpoint.position;
  if (const auto step = checkpoint.state.find("step"); step != checkpoint.state.end()) {
    const int64_t in_state = step->second.count() == 1 ? step->second.integer_at(0) : -1;
    if (in_state != position.step) {
      fail(
          ErrorCode::kInvalidArgument,
          "damaged checkpoint: its step: expected one number, got {} in its position and {} in its "
          "state",
          position.step, in_state);
    }
  }
  if (data.train == nullptr) return;
  int64_t cursor = 0;
  if (__builtin_mul_overflow(position.step, examples_per_step, &cursor)) {
    fail(ErrorCode::kInvalidArgument, "damaged checkpoint: its step: expected at most {}, got {}",
         INT64_MAX / examples_per_step, position.step);
  }
  if (cursor != position.cursor) {
    fail(ErrorCode::kInvalidArgument, "damaged checkpoint: its cursor: expected {}, got {}", cursor,
         position.cursor);
  }
  int64_t tokens = 0;
  const int64_t per_example = data.train->tokens_per_example();
  if (per_example == 0 || __builtin_mul_overflow(cursor, per_example, &tokens)) return;
  if (position.tokens > tokens) {
    fail(ErrorCode::kInvalidArgument, "damaged checkpoint: its tokens: expected at most {}, got {}",
         tokens, position.tokens);
  }
}

}  // namespace mw::training
