// millwright train MODEL --data FILE --output OUT: trains a model and writes its package back.
#include <fmt/format.h>
#include <unistd.h>

#include <memory>

#include "api/run_outputs.h"
#include "base/error.h"
#include "base/printable.h"
#include "base/quantity_text.h"
#include "cli/command.h"
#include "cli/config_file.h"
#include "cli/print.h"
#include "cli/spelling.h"
#include "cli/training_options.h"
#include "cli/training_outcome.h"
#include "millwright/training.hpp"

namespace mw::cli {
namespace {

// A line redrawn in place on a terminal; elsewhere one every ten seconds, or every so many steps,
// and per validation.
class Watcher : public TrainingObserver {
 public:
  explicit Watcher(int64_t report_every) : report_every_(report_every) {}
  ~Watcher() override { clear(); }

  void stepped(const TrainingProgress& progress) override {
    const StepRecord& record = progress.record;
    const bool last = record.step == progress.steps;
    const double time = now_seconds();
    const bool due = report_every_ > 0 && !terminal_ ? record.step % report_every_ == 0
                                                     : time - drawn_ >= (terminal_ ? 0.1 : 10);
    if (!last && !record.valid_loss && !due) return;
    drawn_ = time;
    std::string facts = fmt::format("loss {:.4f}", record.loss.value_or(0));
    if (progress.valid_loss) facts += fmt::format("  valid {:.4f}", *progress.valid_loss);
    facts += fmt::format("  {:.0f} {}  {} left  {}", progress.per_second,
                         progress.is_text ? "tokens/s" : "examples/s",
                         seconds_text(progress.seconds_left),
                         memory_text(static_cast<uint64_t>(record.memory)));
    draw(record.step, progress.steps, facts);
    if (last) clear();
  }

  void evaluated(int64_t done, int64_t all) override {
    const double time = now_seconds();
    if (!terminal_ || time - drawn_ < 0.5) return;
    drawn_ = time;
    draw(done, all, "validation");
  }

  void reading(const std::string& file, int64_t done, int64_t all) override {
    stop_if_interrupted();
    const double time = now_seconds();
    if (!terminal_ || time - drawn_ < 0.2 || done == all) return;
    drawn_ = time;
    draw(done, all, "reading " + file);
  }

  void note(const std::string& sentence) override {
    clear();
    inform("{}\n", printable(sentence));
  }

  std::string called(const std::string& setting) override { return option_of(setting); }
  bool should_stop() override { return is_interrupted(); }

 private:
  void draw(int64_t done, int64_t all, const std::string& facts) {
    constexpr int kWidth = 20;
    if (!terminal_) return inform("step {}/{}  {}\n", done, all, facts);
    const auto filled =
        static_cast<size_t>(static_cast<double>(done) / static_cast<double>(all) * kWidth);
    redraw(fmt::format("[{}{}] {}/{}  {} ", std::string(filled, '='),
                       std::string(kWidth - filled, ' '), done, all, facts));
    visible_ = true;
  }
  void clear() {
    if (visible_) redraw("");
    visible_ = false;
  }

  int64_t report_every_;  // 0: by time
  bool terminal_ = isatty(STDERR_FILENO) != 0, visible_ = false;
  double drawn_ = 0;
};

void need(const std::string& value, const char* name, const char* what) {
  if (value.empty()) fail(ErrorCode::kInvalidArgument, "{}: expected {}, got none", name, what);
}

// Before a model is opened.
void check(const TrainingOptions& o, const TrainingSettings& settings) {
  need(o.model, o.distills ? "--student" : "MODEL", "a model to train");
  if (o.distills) need(o.teacher, "--teacher", "a model to learn from");
  const DistillOptions& distill = settings.distill;
  if (distill.cache.empty() && distill.top_k != DistillOptions{}.top_k) {
    fail(ErrorCode::kInvalidArgument, "{} {}: says what {} keeps, and there is none",
         setting("teacher_top_k"), distill.top_k, setting("teacher_cache"));
  }
  check_outputs(resolved(settings), o.model, {{"--teacher", o.teacher}, {"--config", o.config}});
}

TrainingReport train_as_told(const TrainingOptions& o, const TrainingSettings& settings,
                             TrainingObserver& observer) {
  const LoadOptions load = o.load_options();
  const CoreMLModelWrapper model = CoreMLModelWrapper::load(o.model, load);
  if (!o.distills) return mw::train(model, settings, observer);
  LoadOptions of_teacher;
  of_teacher.device = load.device;
  of_teacher.threads = load.threads;
  of_teacher.print_after = load.print_after;
  of_teacher.role = o.teacher_role;
  const CoreMLModelWrapper teacher =
      in_context([] { return setting("teacher"); },
                 [&] { return CoreMLModelWrapper::load(o.teacher, of_teacher); });
  return mw::distill(model, teacher, settings, observer);
}

}  // namespace

void run_training_command(TrainingOptions& o, CLI::App& command) {
  if (!o.config.empty()) apply_config(command, o.config);
  const TrainingSettings settings = o.training_settings();
  check(o, settings);
  watch_interrupts();
  Watcher watcher(o.report_every);
  const TrainingReport report = train_as_told(o, settings, watcher);
  for (const std::string& warning : report.warnings) watcher.note("warning: " + warning);
  if (o.json) print_json_outcome(report);
  if (report.interrupted) {
    watcher.note(
        fmt::format("saved step {} as {}; to go on:", report.step, report.checkpoint.string()));
    inform("  {}\n", resume_command());
    throw Interrupted();
  }
  if (!o.json) print_outcome(report);
}

void add_train(CLI::App& app) {
  auto options = std::make_shared<TrainingOptions>();
  CLI::App* command = app.add_subcommand("train", "Train a model on texts or arrays");
  command->add_option("model", options->model,
                      "a .mlmodelc or .mlpackage folder, a folder of parts, or an .mlmodel file");
  options->add_to(*command);
  command->callback([options, command] { run_training_command(*options, *command); });
}

}  // namespace mw::cli
