// What `train` and `distill` share: their options, and the run itself on a terminal.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "cli/setting_options.h"

namespace mw::cli {

struct TrainingOptions {
  std::string model, teacher, config;
  SettingOptions settings, load;
  std::vector<std::string> groups, teacher_role;
  bool distills = false, json = false;
  int64_t report_every = 0;  // steps; 0: by time

  // All but the models, which are positional in one command and not in the other.
  void add_to(CLI::App& command);
  // Throws where options lack another beside them.
  [[nodiscard]] TrainingSettings training_settings() const;
  [[nodiscard]] LoadOptions load_options() const;
};

// Reads the configuration file, checks the options, trains and prints the outcome.
void run_training_command(TrainingOptions& options, CLI::App& command);

}  // namespace mw::cli
