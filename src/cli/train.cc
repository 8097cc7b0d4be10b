// millwright train MODEL --data FILE --output OUT: trains a model and writes its package back.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>

#include "api/training_run.h"
#include "base/error.h"
#include "base/printable.h"
#include "base/quantity_text.h"
#include "cli/command.h"
#include "cli/config_file.h"
#include "cli/parameter_groups.h"
#include "cli/print.h"
#include "cli/training_options.h"
#include "cli/training_outcome.h"
#include "cli/training_outputs.h"
#include "cli/training_summary.h"
#include "package/package.h"

namespace mw::cli {
namespace {

namespace fs = std::filesystem;

// A line redrawn in place on a terminal; elsewhere one every ten seconds and per validation.
class Watcher : public TrainingObserver {
 public:
  explicit Watcher(bool text) : unit_(text ? "tokens/s" : "examples/s") {}
  ~Watcher() override { clear(); }

  void stepped(const TrainingStatus& status) override {
    const train::StepRecord& record = *status.record;
    const bool last = record.step == status.steps;
    const double time = now_seconds();
    if (!last && !record.valid_loss && time - drawn_ < (terminal_ ? 0.1 : 10)) return;
    drawn_ = time;
    std::string facts = fmt::format("loss {:.4f}", record.loss.value_or(0));
    if (status.valid_loss) facts += fmt::format("  valid {:.4f}", *status.valid_loss);
    facts += fmt::format("  {:.0f} {}  {} left  {}", status.per_second, unit_,
                         seconds_text(status.seconds_left),
                         memory_text(static_cast<uint64_t>(record.memory)));
    draw(record.step, status.steps, facts);
    if (last) clear();
  }

  void evaluated(int64_t done, int64_t all) override {
    const double time = now_seconds();
    if (!terminal_ || time - drawn_ < 0.5) return;
    drawn_ = time;
    draw(done, all, "validation");
  }

  void read(const std::string& file, int64_t done, int64_t all) {
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

  std::string unit_;
  bool terminal_ = isatty(STDERR_FILENO) != 0, visible_ = false;
  double drawn_ = 0;
};

StudentOptions student_options(const TrainingOptions& o) {
  StudentOptions options;
  o.settings.apply(options);
  options.groups = parameter_groups(
      o.groups, std::visit([](const auto& s) { return s.learning_rate; }, options.optimizer));
  options.schedule.total_steps = std::max<int64_t>(o.steps, 1);
  if (options.lora) {
    if (!o.settings.given("lora_alpha")) {
      options.lora->alpha = 2 * static_cast<float>(options.lora->rank);
    }
    options.lora->seed = o.seed;
  }
  return options;
}

void check_adapter_options(const TrainingOptions& o) {
  const char* stray = o.settings.given("lora_alpha")     ? "--lora-alpha"
                      : o.settings.given("lora_targets") ? "--lora-targets"
                      : o.adapter_format != "millwright" ? "--adapter-format"
                      : !o.adapter_names.empty()         ? "--adapter-names"
                                                         : nullptr;
  if (!o.adapts() && stray != nullptr) {
    fail(ErrorCode::kInvalidArgument, "{}: expected --lora-rank beside it, got none", stray);
  }
  if (!o.adapter_names.empty() && o.adapter_format != "peft") {
    fail(ErrorCode::kInvalidArgument,
         "--adapter-names: expected --adapter-format peft beside it, got {}", o.adapter_format);
  }
}

void check(const TrainingOptions& o, const CLI::App& command) {
  const bool distills = command.get_option_no_throw("--teacher") != nullptr;
  const auto need = [](const std::string& value, const char* name, const char* what) {
    if (value.empty()) fail(ErrorCode::kInvalidArgument, "{}: expected {}, got none", name, what);
  };
  need(o.model, distills ? "--student" : "MODEL", "a model to train");
  if (distills) need(o.teacher, "--teacher", "a model to learn from");
  need(o.output, "--output", "a package to write");
  if (o.steps > 0) need(o.data, "--data", "a file to train on");
  check_adapter_options(o);
  check_outputs(o);
  if (o.compute != "fp32" && o.compute != "fp64") {
    fail(ErrorCode::kInvalidArgument, "--compute: expected fp32 or fp64 to train in, got {}",
         o.compute);
  }
}

// What a setting comes to: what was given, or what is usual. Groups are shown as they are typed.
std::map<std::string, std::string> resolved(const StudentOptions& student) {
  std::map<std::string, std::string> texts;
  for (const auto& [name, values] : train::values_of(student)) {
    texts[name] = fmt::format("{}", fmt::join(values, " "));
  }
  return texts;
}

// Options as they are given; of those that are left out, what they come to.
std::vector<std::pair<std::string, std::string>> shown_settings(const CLI::App& command,
                                                                const TrainingOptions& o,
                                                                const StudentOptions& student,
                                                                const TrainingData& data) {
  std::map<std::string, std::string> of_settings = resolved(student), chosen;
  if (data.train != nullptr) chosen["batch-size"] = std::to_string(data.batch_size);
  if (data.seq_len > 0) chosen["seq-len"] = std::to_string(data.seq_len);
  std::vector<std::pair<std::string, std::string>> rows;
  for (const CLI::Option* option : command.get_options()) {
    const std::string name = option->get_single_name(), setting = o.settings.setting_of(*option);
    std::string value = option->count() > 0 ? fmt::format("{}", fmt::join(option->results(), " "))
                                            : option->get_default_str();
    if (!setting.empty()) value = of_settings[setting];
    if (value.empty()) value = chosen[name];
    if (!value.empty()) rows.emplace_back(name, value);
  }
  return rows;
}

}  // namespace

void run_training_command(TrainingOptions& o, CLI::App& command) {
  if (!o.config.empty()) apply_config(command, o.config);
  // A shell completes the name of a folder with one.
  while (o.output.size() > 1 && o.output.ends_with('/')) o.output.pop_back();
  check(o, command);
  watch_interrupts();
  LoadOptions load;
  load.function = o.function;
  load.tokenizer = o.tokenizer;
  load.device = o.device;
  load.threads = o.threads;
  load.print_after = o.print_after;
  if (o.compute == "fp64") load.compute = Compute::kFp64;
  const CoreMLModelWrapper model = CoreMLModelWrapper::load(o.model, load);
  const StudentOptions student = student_options(o);
  std::optional<CoreMLModelWrapper> teacher;
  if (!o.teacher.empty())
    teacher = CoreMLModelWrapper::load(
        o.teacher, {.device = o.device, .threads = o.threads, .print_after = o.print_after});

  TrainingData data;
  Watcher watcher(true);
  if (!o.data.empty()) {
    data = load_training_data(model,
                              {.data = o.data,
                               .eval_data = o.eval_data,
                               .target = student.target,
                               .batch_size = o.batch_size,
                               .seq_len = o.seq_len,
                               .loss = student.loss,
                               .progress = [&](const std::string& file, int64_t done, int64_t all) {
                                 watcher.read(file, done, all);
                               }});
  }
  Watcher steps(data.seq_len > 0);
  TrainingSettings settings;
  settings.output = fs::path(o.output);
  settings.adapter = adapter_path(o);
  settings.module_names = o.adapter_names;
  settings.save.only_function = o.only_function;
  if (student.lora) {
    settings.fixed = {{"lora_rank", std::to_string(student.lora->rank)},
                      {"lora_alpha", fmt::format("{}", student.lora->alpha)}};
  }
  settings.folder = run_folder(o);
  settings.target = student.target;
  settings.steps = o.steps;
  settings.accumulate = o.accumulate;
  settings.checkpoint_every = o.checkpoint_every;
  settings.eval_every = o.eval_every;
  settings.patience = o.patience;
  settings.seed = o.seed;
  settings.resume = o.resume;
  settings.resume_from = o.resume_from;
  settings.overwrite = o.overwrite;
  const auto make_student = [&] {
    StudentModel made(model, student);
    if (teacher) made.set_teacher(*teacher, o.distill);
    return made;
  };
  if (teacher) settings.loss_name = "training with teacher";
  settings.shown = shown_settings(command, o, student, data);
  TrainingRun run(model, make_student, std::move(data), settings, steps);
  const TrainingSummary summary = summary_of(run.student().parameters());
  for (const std::string& line : lines_of(summary)) steps.note(line);
  if (!is_adapter(o)) {
    for (const std::string& note : run.student().notes(settings.save)) steps.note(note);
  }
  const TrainingOutcome outcome = run.finish();
  const WrittenFiles files = {settings.output, settings.adapter};
  for (const std::string& warning : outcome.warnings) steps.note("warning: " + warning);
  if (o.json) print_json_outcome(outcome, summary, files);
  if (outcome.interrupted) {
    steps.note(
        fmt::format("saved step {} as {}; to go on:", outcome.step, outcome.checkpoint.string()));
    inform("  {}\n", resume_command());
    throw Interrupted();
  }
  if (!o.json) print_outcome(outcome, files);
}

void add_train(CLI::App& app) {
  auto options = std::make_shared<TrainingOptions>();
  CLI::App* command = app.add_subcommand("train", "Train a model on texts or arrays");
  command->add_option("model", options->model,
                      "a .mlmodelc or .mlpackage folder, or an .mlmodel file");
  options->add_to(*command);
  command->callback([options, command] { run_training_command(*options, *command); });
}

}  // namespace mw::cli
