// The training loop: steps, checkpoints, where a run goes on from.
#include "train/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "base/atomic_write.h"
#include "base/error.h"
#include "base/finite.h"
#include "base/os.h"
#include "base/quantity_text.h"
#include "train/position.h"

namespace mw::training {
namespace {

namespace fs = std::filesystem;

constexpr size_t kCheckpointsKept = 2;
constexpr const char* kMetrics = "metrics.jsonl";

// Thrown between the calls of a step, which is not taken then.
struct StoppedWithin {};

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

fs::path run_folder(const RunSettings& settings) {
  return settings.checkpoint_dir.empty() ? fs::path(settings.output).replace_extension(".run")
                                         : settings.checkpoint_dir;
}

Run::Run(Student& student, TrainingData data, RunPlan plan, RunFiles& files,
         TrainingObserver& observer)
    : student_(student),
      data_(std::move(data)),
      plan_(std::move(plan)),
      files_(files),
      observer_(observer),
      folder_(run_folder(plan_.settings)) {
  if (data_.train != nullptr) {
    const RunSettings& settings = plan_.settings;
    shuffle_ = std::make_unique<Shuffle>(data_.train->size(), settings.seed);
    examples_per_step_ = examples_of_step(data_.batch_size, settings.accumulate, settings.steps);
  }
  position_.fixed = fixed();
}

std::map<std::string, std::string> Run::fixed() const {
  if (data_.train == nullptr) return {};
  std::map<std::string, std::string> all = {
      {"accumulate", std::to_string(plan_.settings.accumulate)},
      {"batch_size", std::to_string(data_.batch_size)},
      {"data", fmt::format("{:016x}", data_.train->fingerprint())},
      {"seed", std::to_string(plan_.settings.seed)},
      {"seq_len", std::to_string(data_.seq_len)}};
  all.insert(plan_.fixed.begin(), plan_.fixed.end());
  return all;
}

void Run::check_fixed(const RunPosition& position, const fs::path& path) const {
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

void Run::resume() {
  const auto files = checkpoints_in(folder_);
  fs::path path = plan_.settings.resume_from;
  if (path.empty() && plan_.settings.resume && !files.empty()) path = files.back().path;
  if (path.empty()) {
    if (plan_.settings.resume) {
      observer_.note(
          fmt::format("{}: no checkpoint yet; starting from the beginning", folder_.string()));
    }
    return;
  }
  Checkpoint checkpoint;
  try {
    checkpoint = read_checkpoint(path);
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
               student_.trainer().load_state(checkpoint.state);
             });
  const auto now_fixed = position_.fixed;
  position_ = checkpoint.position;
  if (!now_fixed.empty()) position_.fixed = now_fixed;
  report_.checkpoint = path;
  observer_.note(fmt::format("going on after step {} of {}", position_.step, path.string()));
  carry_best(checkpoint, path);
}

// Those of a run that took another way from here would be taken for its later ones.
void Run::clear_later_checkpoints() const {
  for (const auto& file : checkpoints_in(folder_)) {
    if (goes_on() && file.step <= position_.step) continue;
    if (!goes_on() && !plan_.settings.overwrite) {
      fail(ErrorCode::kInvalidArgument,
           "{}: holds checkpoints of an earlier run; {} goes on with it, {} starts anew",
           folder_.string(), setting("resume"), setting("overwrite"));
    }
    std::error_code error;
    fs::remove(file.path, error);
    if (error) fail_io(file.path, "remove", error.value());
  }
}

bool Run::goes_on() const { return plan_.settings.resume || !plan_.settings.resume_from.empty(); }

TrainingReport Run::finish() {
  train_and_write();
  if (metrics_ != nullptr) report_.steps = metrics_->records();
  report_.notes = observer_.notes();
  observer_.rethrow();
  return report_;
}

void Run::train_and_write() {
  const bool trains = plan_.settings.steps > 0 || goes_on();
  if (data_.train != nullptr) check_patience();
  if (trains) {
    create_folders(folder_);
    lock_.emplace(FileLock::of_working_folder(folder_));
    tidy_checkpoints(folder_, SIZE_MAX);
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
    metrics_ = std::make_unique<MetricsFile>(folder_ / kMetrics, goes_on() ? position_.step : -1);
    for (const std::string& note : data_.notes) observer_.note(note);
    report_.objective = student_.objective(batch(0));
    observer_.note("minimises " + report_.objective);
    const std::string note = student_.teacher_note(batch(0));
    if (!note.empty()) observer_.note(note);
    loop();
  }
  tell_position();
  if (!report_.interrupted && trains) take_best();
  const auto& tested = plan_.settings.test_batches;
  if (!report_.interrupted && steps_left && data_.test != nullptr && tested != 0) {
    report_.test_loss = evaluate(*data_.test, tested);
  }
  report_.interrupted = report_.interrupted || observer_.has_thrown();
  if (report_.interrupted) {
    write_report(
        fmt::format("interrupted after step {} of {}", position_.step, plan_.settings.steps));
    return;
  }
  report_.warnings = files_.write();
  if (steps_left) {
    if (!data_.prompt.empty()) take_samples();
    write_report(
        fmt::format("finished after {} step{}", position_.step, position_.step == 1 ? "" : "s"));
  }
}

void Run::tell_position() {
  report_.step = position_.step;
  report_.tokens = position_.tokens;
  report_.seconds = position_.seconds;
  report_.best_loss = position_.best_loss;
  report_.best_step = position_.best_step;
}

void Run::loop() {
  for (const StepRecord& record : metrics_->records()) {
    if (record.valid_loss) report_.valid_loss = record.valid_loss;
  }
  const bool is_told =
      !metrics_->records().empty() && metrics_->records().back().valid_loss.has_value();
  const bool is_counted =
      position_.validated_step == position_.step || (position_.validated_step < 0 && is_told);
  if (evaluation_is_due() && !is_counted) {
    StepRecord record;
    record.step = position_.step;
    take_valid_loss(record);
    if (record.valid_loss && !is_told) metrics_->append(record);
  }
  try {
    while (has_steps_left() && !observer_.should_stop()) step();
  } catch (const StoppedWithin&) {  // NOLINT(bugprone-empty-catch): the step was not taken
  }
  report_.interrupted = has_steps_left() || observer_.has_thrown();
  if (report_.checkpoint.filename() != checkpoint_name(position_.step)) keep_checkpoint();
}

std::vector<int64_t> Run::examples_of(int64_t call) {
  return shuffle_->take(position_.cursor + call * data_.call_size, data_.call_size);
}

TensorMap Run::batch(int64_t call) { return data_.train->batch(examples_of(call)); }

StepResult Run::try_step() {
  try {
    return student_.step(calls_per_step(), [&](int64_t call) {
      if (call > 0 && observer_.should_stop()) throw StoppedWithin();
      return batch(call);
    });
  } catch (const Error& e) {
    if (e.code() == ErrorCode::kInvalidArgument) explain_failure();
    throw;
  }
}

void Run::step() {
  const double started = now();
  const StepResult result = in_context([&] { return fmt::format("step {}", position_.step + 1); },
                                       [&] { return try_step(); });
  ++position_.step;
  position_.cursor += examples_per_step_;
  position_.tokens += result.tokens;
  StepRecord record;
  record.step = position_.step;
  record.loss = result.loss;
  record.grad_norm = result.grad_norm;
  // The shortest text of the float, so that metrics say 0.003 and not 0.00300000002.
  record.learning_rate = std::stod(fmt::format("{}", result.learning_rate));
  record.tokens = result.tokens;
  record.seconds = now() - started;
  record.memory = os::resident_bytes();
  position_.seconds += record.seconds;
  report_.loss = result.loss;
  report_.step_bytes = student_.trainer().step_bytes();
  rate_ = rate_ == 0 ? record.seconds : 0.95 * rate_ + 0.05 * record.seconds;
  if (evaluation_is_due()) take_valid_loss(record);
  metrics_->append(record);
  const bool due =
      plan_.settings.checkpoint_every > 0 && position_.step % plan_.settings.checkpoint_every == 0;
  if (due) keep_checkpoint();
  TrainingProgress progress{record, plan_.settings.steps, report_.valid_loss, data_.seq_len > 0};
  const int64_t amount = progress.is_text ? examples_per_step_ * data_.seq_len : examples_per_step_;
  progress.per_second = static_cast<double>(amount) / rate_;
  progress.seconds_left = rate_ * static_cast<double>(plan_.settings.steps - position_.step);
  observer_.stepped(progress);
}

void Run::keep_checkpoint() {
  const fs::path path = folder_ / checkpoint_name(position_.step);
  write_checkpoint(path, {student_.trainer().snapshot(), position_});
  report_.checkpoint = path;
  tidy_checkpoints(folder_, kCheckpointsKept);
}

}  // namespace mw::training
