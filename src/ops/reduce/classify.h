// classifier_of(): what stands behind the outputs of a classifier.
#pragma once

#include <optional>

#include "ir/op_def.h"

namespace mw::ops {

struct Classifier {
  ir::Value* probabilities;  // a number for each class, laid out in any way
  Tensor classes;            // strings or int64, in the same order
};

// Of the predicted class or the dictionary of all; nothing for other values.
std::optional<Classifier> classifier_of(const ir::Value* output, const ir::Catalog& catalog);

}  // namespace mw::ops
