// Names of losses, and the settings that go with some of them.
#include "cli/loss_options.h"

#include "base/error.h"
#include "cli/numbers.h"
#include "train/data.h"

namespace mw::cli {

CLI::Option* LossOptions::add_to(CLI::App& c) {
  CLI::Option* option =
      c.add_option(
           "--loss", loss,
           "cross_entropy (of logits, or before a softmax), binary_cross_entropy (of logits, "
           "or before a sigmoid), mse, or output: the target is the loss")
          ->check(CLI::IsMember({"cross_entropy", "binary_cross_entropy", "mse", "output"}));
  c.add_option("--target", target, "the output that the loss is taken of (default: the logits)");
  c.add_option(
       "--class-axis", class_axis,
       "axis of the target that counts the classes, below 0 from the end (default: the shape "
       "of the labels tells)")
      ->check(CLI::Range(-16, 15));
  c.add_option("--label-smoothing", label_smoothing, "of cross entropy")
      ->check(number_in(0.0, 1.0))
      ->capture_default_str();
  c.add_option("--pos-weight", pos_weight,
               "of binary cross entropy: what a label 1 counts, one number or one for each class")
      ->check(number_in(0.0, 1e30))
      ->take_all();
  return option;
}

void LossOptions::apply(StudentOptions& options) const {
  options.loss = loss == "mse"                    ? Loss::kMeanSquaredError
                 : loss == "output"               ? Loss::kOutput
                 : loss == "binary_cross_entropy" ? Loss::kBinaryCrossEntropy
                                                  : Loss::kCrossEntropy;
  options.target = target;
  options.label_smoothing = label_smoothing;
  options.class_axis = class_axis;
  options.pos_weight = pos_weight;
}

void expect_labels(const StepResult& result) {
  if (result.tokens == 0) train::fail_uncounted();
}

}  // namespace mw::cli
