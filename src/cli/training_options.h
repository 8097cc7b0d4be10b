// What `train` and `distill` share: their options, and the run itself on a terminal.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "cli/setting_options.h"
#include "millwright/training.hpp"

namespace mw::cli {

struct TrainingOptions {
  std::string model, config, data, eval_data, output, checkpoint_dir, resume_from;
  std::string function, tokenizer, compute = "fp32";
  std::string adapter_format = "millwright", adapter_names;
  SettingOptions settings;
  int64_t steps = 1000, batch_size = 0, seq_len = 0, accumulate = 1;
  int64_t checkpoint_every = 100, eval_every = 100, patience = 0;
  std::vector<std::string> groups;
  uint64_t seed = 0;
  std::string device = "cpu";
  int threads = 0;
  std::vector<std::string> print_after;
  bool resume = false, overwrite = false, json = false, only_function = false;
  // Of distillation.
  std::string teacher;
  DistillOptions distill;

  // All but the model, which is positional in one command and not in the other.
  void add_to(CLI::App& command);
  [[nodiscard]] bool adapts() const { return settings.given("lora_rank"); }
};

// Reads the configuration file, checks the options, trains and prints the outcome.
void run_training_command(TrainingOptions& options, CLI::App& command);

}  // namespace mw::cli
