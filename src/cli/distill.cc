// millwright distill --teacher MODEL --student MODEL --data FILE --output OUT: trains the student
// on the data and on the teacher's predictions.
#include <memory>

#include "cli/command.h"
#include "cli/training_options.h"

namespace mw::cli {

void add_distill(CLI::App& app) {
  auto options = std::make_shared<TrainingOptions>();
  options->distills = true;
  CLI::App* command =
      app.add_subcommand("distill", "Train a student model on data and a teacher's predictions");
  command->add_option("--teacher", options->teacher, "the model to learn from");
  command->add_option("--student", options->model, "the model to train");
  command
      ->add_option("--teacher-role", options->teacher_role,
                   "NAME=ROLE: what inputs of the teacher take, as --role says it of the student's")
      ->take_all();
  options->add_to(*command);
  command->callback([options, command] { run_training_command(*options, *command); });
}

}  // namespace mw::cli
