// Run: why a step failed, where the reason is a number that is not finite.
#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "base/finite.h"
#include "train/run.h"

namespace mw::training {

// The step has not happened, so the weights are those that it met.
void Run::explain_failure() {
  for (int64_t i = 0; i < calls_per_step(); ++i) {
    const std::vector<int64_t> examples = examples_of(i);
    const TensorMap call = data_.train->batch(examples);
    StepResult result;
    const TensorMap gradients = student_.gradients(call, result);
    if (std::isfinite(result.loss) && std::isfinite(result.grad_norm)) continue;
    if (const auto place = data_.train->not_finite(examples)) {
      write_report(fmt::format("stopped at step {}: the data are not finite", position_.step + 1));
      fail(ErrorCode::kInvalidArgument, "{}", *place);
    }
    const bool loss_is = std::isfinite(result.loss);
    std::string what = loss_is ? "the gradients are" : "the loss is";
    write_report(fmt::format("stopped at step {}: {} not finite", position_.step + 1, what));
    observer_.note("looking for the op that failed first");
    const std::string found =
        loss_is ? first_not_finite(gradients) : student_.first_nonfinite(call);
    if (!found.empty() && loss_is) what = fmt::format("the gradient of '{}' is", found);
    if (!found.empty() && !loss_is) what = fmt::format("{} gives the first number that is", found);
    fail(ErrorCode::kInvalidArgument, "{} not finite; lower {} or set {}, and start again{}", what,
         setting("learning_rate"), setting("clip_norm"),
         report_.checkpoint.empty() ? ""
                                    : fmt::format(" (or go on with {}: {} is from before)",
                                                  setting("resume"), report_.checkpoint.string()));
  }
}

}  // namespace mw::training
