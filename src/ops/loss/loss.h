// Losses as ops: each gives a sum and how many terms it has, so that parts of a batch add up.
#pragma once

#include "ir/builder.h"

namespace mw::ops {

struct LossValue {
  ir::Value* sum = nullptr;    // float scalar
  ir::Value* count = nullptr;  // float scalar
};

// logits [.., classes], labels int32 [..]; label -100 does not count.
LossValue cross_entropy_of(ir::Builder& b, ir::Value* logits, ir::Value* labels, double smoothing);
// KL(teacher || student) of [.., classes] logits divided by `temperature`, where labels count.
LossValue distillation_of(ir::Builder& b, ir::Value* student, ir::Value* teacher, ir::Value* labels,
                          double temperature);
LossValue squared_error_of(ir::Builder& b, ir::Value* x, ir::Value* target);

}  // namespace mw::ops
