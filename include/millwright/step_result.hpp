// What a training step, or an evaluation, tells.
#pragma once

#include <cstdint>

namespace mw {

struct StepResult {
  int64_t step = 0;      // 1 for the first
  double loss = 0;       // mean over the labels that count
  double grad_norm = 0;  // of all gradients together, before clipping
  float learning_rate = 0;
  int64_t tokens = 0;  // labels that count
};

}  // namespace mw
