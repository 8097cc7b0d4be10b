// millwright distill --teacher MODEL --student MODEL --data FILE --output OUT: trains the student
// on the data and on the teacher's predictions.
#include <memory>

#include "cli/command.h"
#include "cli/numbers.h"
#include "cli/training_options.h"

namespace mw::cli {

void add_distill(CLI::App& app) {
  auto options = std::make_shared<TrainingOptions>();
  CLI::App* command =
      app.add_subcommand("distill", "Train a student model on data and a teacher's predictions");
  command->add_option("--teacher", options->teacher, "the model to learn from");
  command->add_option("--student", options->model, "the model to train");
  options->add_to(*command);
  command
      ->add_option("--temperature", options->distill.temperature,
                   "of both models' predictions, as they are compared")
      ->check(number_in(1e-3, 1e6))
      ->capture_default_str();
  command
      ->add_option("--alpha", options->distill.alpha,
                   "share of the teacher in the loss; the rest is cross entropy with the data")
      ->check(number_in(0.0, 1.0))
      ->capture_default_str();
  command->add_option("--teacher-target", options->distill.target,
                      "the teacher's logits (default: chosen as for --target)");
  command->callback([options, command] { run_training_command(*options, *command); });
}

}  // namespace mw::cli
