// first_nonfinite(): which op of a model first gives a number that is not finite.
#pragma once

#include <string>

#include "millwright/training.hpp"

namespace mw {

// Runs the model op by op on a batch, with the student's weights as they are. "softmax
// 'attention_3'", or nothing when all values of the forward pass are finite.
std::string first_nonfinite(const CoreMLModelWrapper& model, const StudentModel& student,
                            const std::string& target, const TensorMap& batch);
// The name of a tensor that holds a number that is not finite; empty: all are.
std::string first_nonfinite(const TensorMap& tensors);

}  // namespace mw
