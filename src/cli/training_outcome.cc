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

void print_json_outcome(const TrainingReport& report) {
  nlohmann::json json = {{"step", report.step},
                         {"tokens", report.tokens},
                         {"seconds", report.seconds},
                         {"interrupted", report.interrupted},
                         {"step_bytes", report.step_bytes},
                         {"trained_numbers", report.trained_numbers},
                         {"all_numbers", report.all_numbers},
                         {"warnings", report.warnings}};
  const auto put = [&](const char* key, const std::optional<double>& value) {
    if (value) json[key] = *value;
  };
  if (!report.objective.empty()) json["minimises"] = report.objective;
  put("loss", report.loss);
  put("valid_loss", report.valid_loss);
  put("best_valid_loss", report.best_loss);
  put("test_loss", report.test_loss);
  if (report.best_loss) json["best_step"] = report.best_step;
  if (!report.checkpoint.empty()) json["checkpoint"] = report.checkpoint.string();
  if (!report.html.empty()) json["report"] = report.html.string();
  if (report.interrupted) {
    json["resume_command"] = resume_command();
  } else {
    json["output"] = report.output.string();
    json["written_step"] = report.written_step;
    json["stopped_early"] = report.stopped_early;
    if (!report.adapter.empty()) json["adapter"] = report.adapter.string();
  }
  print_json(json);
}

void print_outcome(const TrainingReport& report) {
  const auto row = [](const char* name, const std::string& value) {
    answer("{:<12} {}\n", name, printable(value));
  };
  row("steps", with_commas(report.step));
  if (report.loss) row("loss", fmt::format("{:.5f}", *report.loss));
  if (report.valid_loss) row("validation", fmt::format("{:.5f}", *report.valid_loss));
  if (report.best_loss) {
    row("best", fmt::format("{:.5f} at step {}", *report.best_loss, report.best_step));
  }
  if (report.test_loss) row("test", fmt::format("{:.5f}", *report.test_loss));
  if (report.seconds > 0) {
    row("time",
        fmt::format("{:.1f} s, {:.0f} labels/s", report.seconds, report.tokens_per_second()));
  }
  if (report.step_bytes > 0) row("step memory", memory_text(report.step_bytes));
  if (!report.checkpoint.empty()) row("checkpoint", report.checkpoint.string());
  if (!report.html.empty()) row("report", report.html.string());
  row("wrote", report.output.string());
  if (!report.adapter.empty() && report.adapter != report.output) {
    row("adapter", report.adapter.string());
  }
}

}  // namespace mw::cli
