// The outcome of a run as lines and as JSON.
#include "cli/training_outcome.h"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/printable.h"
#include "base/quantity_text.h"
#include "cli/command.h"
#include "cli/print.h"

namespace mw::cli {
namespace {

std::string shell_word(const std::string& word) {
  constexpr const char* kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

}  // namespace

std::string resume_command() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string command;
  bool skip = false;
  for (std::string word; std::getline(file, word, '\0');) {
    if (std::exchange(skip, false)) continue;
    skip = word == "--resume-from";
    if (skip || word == "--resume" || word == "--overwrite" || word.starts_with("--resume-from=")) {
      continue;
    }
    command += shell_word(word) + " ";
  }
  return command + "--resume";
}

void print_json_outcome(const TrainingOutcome& outcome, const TrainingSummary& summary,
                        const WrittenFiles& files) {
  nlohmann::json json = {{"step", outcome.step},
                         {"tokens", outcome.tokens},
                         {"seconds", outcome.seconds},
                         {"interrupted", outcome.interrupted},
                         {"step_bytes", outcome.step_bytes},
                         {"trained_numbers", summary.trained.numbers + summary.adapters.numbers},
                         {"all_numbers", summary.all.numbers},
                         {"warnings", outcome.warnings}};
  const auto put = [&](const char* key, const std::optional<double>& value) {
    if (value) json[key] = *value;
  };
  if (!outcome.objective.empty()) json["minimises"] = outcome.objective;
  put("loss", outcome.loss);
  put("valid_loss", outcome.valid_loss);
  put("best_valid_loss", outcome.best_loss);
  put("test_loss", outcome.test_loss);
  if (outcome.best_loss) json["best_step"] = outcome.best_step;
  if (!outcome.checkpoint.empty()) json["checkpoint"] = outcome.checkpoint.string();
  if (!outcome.report.empty()) json["report"] = outcome.report.string();
  if (outcome.interrupted) {
    json["resume_command"] = resume_command();
  } else {
    json["output"] = files.output.string();
    json["written_step"] = outcome.written_step;
    json["stopped_early"] = outcome.stopped_early;
    if (!files.adapter.empty()) json["adapter"] = files.adapter.string();
  }
  print_json(json);
}

void print_outcome(const TrainingOutcome& outcome, const WrittenFiles& files) {
  const auto row = [](const char* name, const std::string& value) {
    answer("{:<12} {}\n", name, printable(value));
  };
  row("steps", with_commas(outcome.step));
  if (outcome.loss) row("loss", fmt::format("{:.5f}", *outcome.loss));
  if (outcome.valid_loss) row("validation", fmt::format("{:.5f}", *outcome.valid_loss));
  if (outcome.best_loss) {
    row("best", fmt::format("{:.5f} at step {}", *outcome.best_loss, outcome.best_step));
  }
  if (outcome.test_loss) row("test", fmt::format("{:.5f}", *outcome.test_loss));
  if (outcome.seconds > 0) {
    row("time", fmt::format("{:.1f} s, {:.0f} labels/s", outcome.seconds,
                            static_cast<double>(outcome.tokens) / outcome.seconds));
  }
  if (outcome.step_bytes > 0) row("step memory", memory_text(outcome.step_bytes));
  if (!outcome.checkpoint.empty()) row("checkpoint", outcome.checkpoint.string());
  if (!outcome.report.empty()) row("report", outcome.report.string());
  row("wrote", files.output.string());
  if (!files.adapter.empty() && files.adapter != files.output) {
    row("adapter", files.adapter.string());
  }
}

}  // namespace mw::cli
