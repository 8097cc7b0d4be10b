// What the commands about gradients refuse to answer with: a loss or a gradient that is no number,
// or that no label counts in.
#pragma once

#include <cmath>

#include "base/error.h"
#include "base/finite.h"
#include "millwright/step_result.hpp"
#include "train/data.h"

namespace mw::cli {

inline void expect_finite(const StepResult& result) {
  const bool loss_is = std::isfinite(result.loss);
  if (loss_is && std::isfinite(result.grad_norm)) return;
  const double found = loss_is ? static_cast<double>(result.grad_norm) : result.loss;
  fail(ErrorCode::kInvalidArgument,
       "expected a finite {} for these inputs and labels, got {}; `run` shows what the model "
       "gives for them",
       loss_is ? "norm of the gradients" : "loss", not_finite_text(found));
}

// Throws where no label counted.
inline void expect_labels(const StepResult& result) {
  if (result.tokens == 0) training::fail_uncounted();
}

}  // namespace mw::cli
