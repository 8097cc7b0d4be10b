// The training loop: steps, validation, checkpoints, metrics, the report.
#include "api/training_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "api/impl.h"
#include "api/training_position.h"
#include "base/atomic_write.h"
#include "base/error.h"
#include "base/finite.h"
#include "base/os.h"
#include "base/quantity_text.h"

namespace mw {
namespace {

namespace fs = std::filesystem;

constexpr size_t kCheckpointsKept = 2;
constexpr const char* kMetrics = "metrics.jsonl";

// Thrown between the calls of a step, which is not taken then.
struct StoppedWithin {};

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string loss_text(const std::optional<double>& loss) {
  return loss ? fmt::format("{:.4f}", *loss) : "–";
}

}  // namespace

TrainingRun::TrainingRun(const CoreMLModelWrapper& model, MakeStudent make_student,
                         TrainingData data, TrainingSettings settings, TrainingObserver& observer)
    : model_(model),
      make_student_(std::move(make_student)),
      data_(std::move(data)),
      settings_(std::move(settings)),
      observer_(observer),
      student_(make_student_()) {
  if (data_.train != nullptr) {
    shuffle_ = std::make_unique<train::Shuffle>(data_.train->size(), settings_.seed);
    examples_per_step_ = examples_of_step(data_.batch_size, settings_.accumulate, settings_.steps);
  }
  position_.fixed = fixed();
}

std::map<std::string, std::string> TrainingRun::fixed() const {
  if (data_.train == nullptr) return {};
  std::map<std::string, std::string> all = {
      {"accumulate", std::to_string(settings_.accumulate)},
      {"batch_size", std::to_string(data_.batch_size)},
      {"data", fmt::format("{:016x}", data_.train->fingerprint())},
      {"seed", std::to_string(settings_.seed)},
      {"seq_len", std::to_string(data_.seq_len)}};
  all.insert(settings_.fixed.begin(), settings_.fixed.end());
  return all;
}

void TrainingRun::check_fixed(const train::RunPosition& position, const fs::path& path) const {
  for (const auto& [name, value] : fixed()) {
    const auto found = position.fixed.find(name);
    if (found == position.fixed.end()) {
      fail(
          ErrorCode::kInvalidArgument,
          "{}: expected a checkpoint that tells its {}, got none; it is of another run, or damaged",
          path.string(), setting(name));
    }
    if (found->second == value) continue;
    if (name == "data") {
      fail(ErrorCode::kInvalidArgument, "{}: expected the data of this checkpoint, got other data",
           path.string());
    }
    fail(ErrorCode::kInvalidArgument, "{}: expected {} {} as in this checkpoint, got {}",
         path.string(), setting(name), found->second, value);
  }
}

void TrainingRun::resume() {
  const auto files = train::checkpoints_in(settings_.folder);
  fs::path path = settings_.resume_from;
  if (path.empty() && settings_.resume && !files.empty()) path = files.back().path;
  if (path.empty()) {
    if (settings_.resume) {
      observer_.note(fmt::format("{}: no checkpoint yet; starting from the beginning",
                                 settings_.folder.string()));
    }
    return;
  }
  train::Checkpoint checkpoint;
  try {
    checkpoint = train::read_checkpoint(path);
  } catch (const Error& e) {
    const auto before = std::find_if(files.rbegin(), files.rend(), [&](const auto& file) {
      return file.path.filename() < path.filename();
    });
    fail(e.code(), "{}; {}", e.what(),
         before == files.rend()
             ? fmt::format("there is none before it, start again without {}", setting("resume"))
             : fmt::format("{} {} goes on from the one before it", setting("resume_from"),
                           before->path.string()));
  }
  check_fixed(checkpoint.position, path);
  in_context([&] { return path.string(); },
             [&] {
               check_position(checkpoint, data_, examples_per_step_);
               student_.load_state(checkpoint.state);
             });
  const auto now_fixed = position_.fixed;
  position_ = checkpoint.position;
  if (!now_fixed.empty()) position_.fixed = now_fixed;
  outcome_.checkpoint = path;
  observer_.note(fmt::format("going on after step {} of {}", position_.step, path.string()));
  carry_best(checkpoint, path);
}

// Those of a run that took another way from here would be taken for its later ones.
void TrainingRun::clear_later_checkpoints() const {
  const bool goes_on = settings_.resume || !settings_.resume_from.empty();
  for (const auto& file : train::checkpoints_in(settings_.folder)) {
    if (goes_on && file.step <= position_.step) continue;
    if (!goes_on && !settings_.overwrite) {
      fail(ErrorCode::kInvalidArgument,
           "{}: holds checkpoints of an earlier run; {} goes on with it, {} starts anew",
           settings_.folder.string(), setting("resume"), setting("overwrite"));
    }
    std::error_code error;
    fs::remove(file.path, error);
    if (error) fail_io(file.path, "remove", error.value());
  }
}

TrainingOutcome TrainingRun::finish() {
  const bool goes_on = settings_.resume || !settings_.resume_from.empty();
  const bool trains = settings_.steps > 0 || goes_on;
  if (data_.train != nullptr) check_patience();
  if (trains) {
    create_folders(settings_.folder);
    lock_.emplace(FileLock::of_working_folder(settings_.folder));
    train::tidy_checkpoints(settings_.folder, SIZE_MAX);
    resume();
    if (data_.train == nullptr && has_steps_left()) {
      fail(ErrorCode::kInvalidArgument, "{}: expected a file to train on, got none",
           setting("data"));
    }
  }
  const bool steps_left = has_steps_left();
  resumed_step_ = position_.step;
  resumed_seconds_ = position_.seconds;
  if (steps_left) {
    clear_later_checkpoints();
    metrics_ = std::make_unique<train::MetricsFile>(settings_.folder / kMetrics,
                                                    goes_on ? position_.step : -1);
    for (const std::string& note : data_.notes) observer_.note(note);
    outcome_.objective = student_.objective(batch(0));
    observer_.note("minimises " + outcome_.objective);
    loop();
  }
  outcome_.step = position_.step;
  outcome_.tokens = position_.tokens;
  outcome_.seconds = position_.seconds;
  outcome_.best_loss = position_.best_loss;
  outcome_.best_step = position_.best_step;
  if (outcome_.interrupted) {
    write_report(fmt::format("interrupted after step {} of {}", position_.step, settings_.steps));
    return outcome_;
  }
  if (trains) take_best();
  if (steps_left && data_.test != nullptr) outcome_.test_loss = evaluate(*data_.test);
  write_output();
  if (steps_left) {
    if (!data_.prompt.empty()) take_samples();
    write_report(
        fmt::format("finished after {} step{}", position_.step, position_.step == 1 ? "" : "s"));
  }
  return outcome_;
}

void TrainingRun::write_output() {
  if (!settings_.adapter.empty()) student_.save_adapter(settings_.adapter, settings_.module_names);
  if (settings_.adapter != settings_.output) {
    outcome_.warnings = student_.save(settings_.output, settings_.save);
  }
}

void TrainingRun::loop() {
  for (const train::StepRecord& record : metrics_->records()) {
    if (record.valid_loss) outcome_.valid_loss = record.valid_loss;
  }
  const bool is_told =
      !metrics_->records().empty() && metrics_->records().back().valid_loss.has_value();
  const bool is_counted =
      position_.validated_step == position_.step || (position_.validated_step < 0 && is_told);
  if (evaluation_is_due() && !is_counted) {
    train::StepRecord record;
    record.step = position_.step;
    take_valid_loss(record);
    if (record.valid_loss && !is_told) metrics_->append(record);
  }
  try {
    while (has_steps_left() && !observer_.should_stop()) step();
  } catch (const StoppedWithin&) {  // NOLINT(bugprone-empty-catch): the step was not taken
  }
  outcome_.interrupted = has_steps_left();
  if (outcome_.checkpoint.filename() != train::checkpoint_name(position_.step)) write_checkpoint();
}

std::vector<int64_t> TrainingRun::examples_of(int64_t call) {
  return shuffle_->take(position_.cursor + call * data_.call_size, data_.call_size);
}

Batch TrainingRun::batch(int64_t call) { return Batch(data_.train->batch(examples_of(call))); }

StepResult TrainingRun::try_step() {
  try {
    return student_.training_step(calls_per_step(), [&](int64_t call) {
      if (call > 0 && observer_.should_stop()) throw StoppedWithin();
      return batch(call);
    });
  } catch (const Error& e) {
    if (e.code() == ErrorCode::kInvalidArgument) explain_failure();
    throw;
  }
}

void TrainingRun::step() {
  const double started = now();
  const StepResult result = in_context([&] { return fmt::format("step {}", position_.step + 1); },
                                       [&] { return try_step(); });
  ++position_.step;
  position_.cursor += examples_per_step_;
  position_.tokens += result.tokens;
  train::StepRecord record;
  record.step = position_.step;
  record.loss = result.loss;
  record.grad_norm = result.grad_norm;
  // The shortest text of the float, so that metrics say 0.003 and not 0.00300000002.
  record.learning_rate = std::stod(fmt::format("{}", result.learning_rate));
  record.tokens = result.tokens;
  record.seconds = now() - started;
  record.memory = os::resident_bytes();
  position_.seconds += record.seconds;
  outcome_.loss = result.loss;
  outcome_.step_bytes = student_.step_bytes();
  rate_ = rate_ == 0 ? record.seconds : 0.95 * rate_ + 0.05 * record.seconds;
  if (evaluation_is_due()) take_valid_loss(record);
  metrics_->append(record);
  const bool due =
      settings_.checkpoint_every > 0 && position_.step % settings_.checkpoint_every == 0;
  if (due) write_checkpoint();
  const double amount = data_.seq_len > 0 ? static_cast<double>(examples_per_step_ * data_.seq_len)
                                          : static_cast<double>(examples_per_step_);
  observer_.stepped({&record, settings_.steps, outcome_.valid_loss, amount / rate_,
                     rate_ * static_cast<double>(settings_.steps - position_.step)});
}

// The step has not happened, so the weights are those that it met.
void TrainingRun::explain_failure() {
  for (int64_t i = 0; i < calls_per_step(); ++i) {
    const std::vector<int64_t> examples = examples_of(i);
    const Batch call(data_.train->batch(examples));
    StepResult result;
    const TensorMap gradients = student_.backward(call, &result);
    if (std::isfinite(result.loss) && std::isfinite(result.grad_norm)) continue;
    if (const auto place = data_.train->not_finite(examples)) {
      write_report(fmt::format("stopped at step {}: the data are not finite", position_.step + 1));
      fail(ErrorCode::kInvalidArgument, "{}", *place);
    }
    const bool loss_is = std::isfinite(result.loss);
    std::string what = loss_is ? "the gradients are" : "the loss is";
    write_report(fmt::format("stopped at step {}: {} not finite", position_.step + 1, what));
    observer_.note("looking for the op that failed first");
    const std::string found =
        loss_is ? first_not_finite(gradients) : first_nonfinite(student_, call);
    if (!found.empty() && loss_is) what = fmt::format("the gradient of '{}' is", found);
    if (!found.empty() && !loss_is) what = fmt::format("{} gives the first number that is", found);
    fail(ErrorCode::kInvalidArgument, "{} not finite; lower {} or set {}, and start again{}", what,
         setting("learning_rate"), setting("clip_norm"),
         outcome_.checkpoint.empty()
             ? ""
             : fmt::format(" (or go on with {}: {} is from before)", setting("resume"),
                           outcome_.checkpoint.string()));
  }
}

void TrainingRun::write_checkpoint() {
  const fs::path path = settings_.folder / train::checkpoint_name(position_.step);
  train::write_checkpoint(path, {snapshot_of(student_), position_});
  outcome_.checkpoint = path;
  train::tidy_checkpoints(settings_.folder, kCheckpointsKept);
}

// Decoration: where it fails, the run does not.
void TrainingRun::write_report(const std::string& subtitle) {
  try {
    write_report_now(subtitle);
  } catch (const std::exception& e) {
    observer_.note(fmt::format("no report: {}", e.what()));
  }
}

void TrainingRun::write_report_now(const std::string& subtitle) {
  train::Report report;
  report.title = fmt::format("{} → {}", model_.path().filename().string(),
                             settings_.output.filename().string());
  report.subtitle = subtitle;
  const double per_second =
      position_.seconds > 0 ? static_cast<double>(position_.tokens) / position_.seconds : 0;
  report.facts = {{"training loss", loss_text(outcome_.loss)}};
  if (outcome_.valid_loss) {
    report.facts.emplace_back("validation loss", loss_text(outcome_.valid_loss));
  }
  if (position_.best_loss) {
    report.facts.emplace_back(fmt::format("best, at step {}", position_.best_step),
                              loss_text(position_.best_loss));
  }
  report.facts.emplace_back("time", seconds_text(position_.seconds));
  report.facts.emplace_back(data_.seq_len > 0 ? "tokens/s" : "labels/s",
                            fmt::format("{:.0f}", per_second));
  if (outcome_.step_bytes > 0) {
    report.facts.emplace_back("memory of a step", memory_text(outcome_.step_bytes));
  }
  if (outcome_.test_loss) report.facts.emplace_back("test loss", loss_text(outcome_.test_loss));
  report.loss_name = settings_.loss_name;
  report.settings = settings_.shown;
  if (!outcome_.objective.empty()) {
    report.settings.emplace(report.settings.begin(), "minimises", outcome_.objective);
  }
  report.records = metrics_->records();
  report.samples = samples_;
  const fs::path path = settings_.folder / "report.html";
  write_file_atomically(path, train::html_of(report));
  outcome_.report = path;
}

}  // namespace mw
