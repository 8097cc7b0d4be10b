// Losses as ops: each gives a sum and how many terms it has, so that parts of a batch add up.
#pragma once

#include <vector>

#include "ir/builder.h"

namespace mw::ops {

// A label that counts nothing.
inline constexpr int32_t kIgnoredLabel = -100;

struct LossValue {
  ir::Value* sum = nullptr;    // float scalar
  ir::Value* count = nullptr;  // float scalar
};

// logits [.., classes], labels int32 [..]; label -100 does not count.
LossValue cross_entropy_of(ir::Builder& b, ir::Value* logits, ir::Value* labels, double smoothing);
// What a teacher says: logits [.., classes]; or, with `rest`, the logarithms of the probabilities
// that it gives its likeliest classes, kNotAmongThem for every other class, and in `rest` [..] the
// logarithm of what those have together.
struct Taught {
  ir::Value* classes = nullptr;
  ir::Value* rest = nullptr;
};
inline constexpr float kNotAmongThem = 1;
// KL(teacher || student) of [.., classes] logits divided by `temperature`, where labels count. With
// `rest`, of the known classes and all others together.
LossValue distillation_of(ir::Builder& b, ir::Value* student, const Taught& teacher,
                          ir::Value* labels, double temperature);
LossValue squared_error_of(ir::Builder& b, ir::Value* x, ir::Value* target);
// Logits and labels from 0 to 1 of one shape; label -100 does not count. `pos_weight` is a factor
// on what a label 1 adds: none, one, or one for each of the last axis.
LossValue binary_cross_entropy_of(ir::Builder& b, ir::Value* x, ir::Value* labels,
                                  const std::vector<float>& pos_weight);
ir::Value* log_softmax_of(ir::Builder& b, ir::Value* x, int64_t axis);

}  // namespace mw::ops
