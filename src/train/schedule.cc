// Schedules of the learning rate.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "millwright/settings.hpp"

namespace mw {

float Schedule::factor(int64_t step) const {
  if (step < warmup_steps) {
    const float risen = static_cast<float>(step + 1) / static_cast<float>(warmup_steps);
    return initial_factor + (1 - initial_factor) * risen;
  }
  if (kind == Kind::kStep) {
    const int64_t times = (step - warmup_steps) / decay_every;
    return static_cast<float>(std::pow(double{decay_factor}, static_cast<double>(times)));
  }
  if (kind == Kind::kConstant || total_steps <= warmup_steps) return 1;
  const double done = std::clamp(
      static_cast<double>(step - warmup_steps) / static_cast<double>(total_steps - warmup_steps),
      0.0, 1.0);
  const double left =
      kind == Kind::kLinear ? 1 - done : (1 + std::cos(std::numbers::pi * done)) / 2;
  return static_cast<float>(final_factor + (1 - final_factor) * left);
}

}  // namespace mw
