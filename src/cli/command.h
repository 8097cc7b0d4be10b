// What the sub-commands share: registration, common options, printing, progress.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/quantity_text.h"
#include "cli/setting_options.h"
#include "millwright/millwright.hpp"

namespace mw::cli {

// One function per sub-command file: declares its options on `app` and sets its callback.
void add_inspect(CLI::App& app);
void add_run(CLI::App& app);
void add_tokenize(CLI::App& app);
void add_generate(CLI::App& app);
void add_chat(CLI::App& app);
void add_eval(CLI::App& app);
void add_convert(CLI::App& app);
void add_link(CLI::App& app);
void add_diff(CLI::App& app);
void add_doctor(CLI::App& app);
void add_train(CLI::App& app);
void add_distill(CLI::App& app);
void add_grad(CLI::App& app);
void add_gradcheck(CLI::App& app);

// Options of every command that runs a model.
struct ModelOptions {
  std::string model;
  SettingOptions settings;

  void add_to(CLI::App& command, bool with_tokenizer);
  void add_adapter_to(CLI::App& command);
  [[nodiscard]] LoadOptions load_options() const;
  [[nodiscard]] CoreMLModelWrapper load() const;
};

void print_json(const nlohmann::json& value);

// A line on stderr that is redrawn in place; silent unless stderr is a terminal and a second has
// passed.
class Progress {
 public:
  Progress(std::string what, int64_t total);
  ~Progress();
  void update(int64_t done);

 private:
  std::string what_;
  int64_t total_;
  double started_, drawn_ = 0;
  bool terminal_, visible_ = false;
};

double now_seconds();  // monotonic

// From here on the first Ctrl-C, SIGTERM or end of the terminal asks the command to stop between
// two steps; a second one ends it.
void watch_interrupts();
// The same for a command that goes on after a Ctrl-C once it has taken note of it; one that comes
// three times before that ends it.
void watch_interrupts_of_turns();
bool is_interrupted();
// Forgets a Ctrl-C; false where there was none, or where the command is to stop for good.
bool take_interrupt();
// As a shell tells of a process that a signal ended: 130 after Ctrl-C, 143 after SIGTERM.
int interrupt_exit_code();
// Ends the command with that exit code.
struct Interrupted {};
void stop_if_interrupted();  // throws Interrupted

}  // namespace mw::cli
