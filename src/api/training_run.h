// TrainingRun: the loop around a StudentModel, from the first step to the written package.
//
//   TrainingRun run(model, [&] { return StudentModel(model, options); }, data, settings, observer);
//   TrainingOutcome outcome = run.finish();
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/training_data.h"
#include "base/file_lock.h"
#include "train/checkpoint.h"
#include "train/metrics.h"
#include "train/report.h"

namespace mw {

struct TrainingSettings {
  std::filesystem::path output;        // the package to write; equal to `adapter`: none
  std::filesystem::path adapter;       // the adapter to write, of a student that has one
  std::filesystem::path module_names;  // as in StudentModel::save_adapter()
  SaveOptions save;
  std::filesystem::path folder;  // for checkpoints, metrics.jsonl and report.html
  std::string target;            // as in StudentOptions
  int64_t steps = 0, accumulate = 1;
  int64_t checkpoint_every = 100, eval_every = 100;
  // Validations without a new best after which the run ends; the best weights are then the ones
  // that are written, in any case. 0: it does all steps and writes the last ones.
  int64_t patience = 0;
  uint64_t seed = 0;
  bool resume = false;                // from the last checkpoint of the folder, if there is one
  std::filesystem::path resume_from;  // from this one
  bool overwrite = false;             // start anew although the folder holds checkpoints
  // More settings that a resumed run must not change, by name, with their values as text.
  std::map<std::string, std::string> fixed;
  std::vector<std::pair<std::string, std::string>> shown;  // in the report
  std::string loss_name = "training";                      // in the report: what a step's loss is
};

struct TrainingStatus {
  const train::StepRecord* record;
  int64_t steps;
  std::optional<double> valid_loss;  // the last one taken
  double per_second;                 // tokens, or examples where there are no tokens
  double seconds_left;
};

class TrainingObserver {
 public:
  virtual ~TrainingObserver() = default;
  virtual void stepped(const TrainingStatus& status) = 0;
  virtual void evaluated(int64_t done, int64_t all) = 0;  // examples of a validation under way
  virtual void note(const std::string& sentence) = 0;
  virtual bool should_stop() = 0;
};

struct TrainingOutcome {
  bool interrupted = false;
  std::string objective;  // what was minimised; empty: no step was left to do
  int64_t step = 0;
  std::optional<double> loss, valid_loss, best_loss, test_loss;
  int64_t best_step = 0;
  bool stopped_early = false;  // out of patience
  int64_t written_step = 0;    // whose weights were written
  int64_t tokens = 0;          // labels that counted, all steps together
  double seconds = 0;
  uint64_t step_bytes = 0;            // of StudentModel::step_bytes()
  std::filesystem::path checkpoint;   // the last one; empty: none was written
  std::filesystem::path report;       // empty: none was written
  std::vector<std::string> warnings;  // of StudentModel::save()
};

class TrainingRun {
 public:
  using MakeStudent = std::function<StudentModel()>;

  // `data` may hold nothing when there are no steps to do. Model and observer outlive the run.
  TrainingRun(const CoreMLModelWrapper& model, MakeStudent make_student, TrainingData data,
              TrainingSettings settings, TrainingObserver& observer);

  // Trains, writes the package (unless it was interrupted) and the report. Throws invalid_argument
  // with the step and the op when the loss is no longer finite.
  TrainingOutcome finish();
  [[nodiscard]] const StudentModel& student() const { return student_; }

  // Tokens that a text for the report may run the model on, after a run of so many steps.
  static int64_t sample_budget(int64_t steps, int64_t tokens_per_step);

 private:
  void resume();
  void clear_later_checkpoints() const;
  void check_fixed(const train::RunPosition& position, const std::filesystem::path& path) const;
  [[nodiscard]] std::map<std::string, std::string> fixed() const;
  void loop();
  void step();
  StepResult try_step();
  // After a step that failed: throws where a number that is not finite is the reason.
  void explain_failure();
  // Of a call of the step that comes.
  [[nodiscard]] std::vector<int64_t> examples_of(int64_t call);
  [[nodiscard]] Batch batch(int64_t call);
  [[nodiscard]] int64_t calls_per_step() const { return examples_per_step_ / data_.call_size; }
  [[nodiscard]] bool evaluation_is_due() const;
  // Nothing when it was interrupted.
  std::optional<double> evaluate(const train::Dataset& dataset);
  void take_valid_loss(train::StepRecord& record);
  [[nodiscard]] bool is_out_of_patience() const;
  [[nodiscard]] bool has_steps_left() const;
  void check_patience() const;
  // Sees to it that the folder holds the best weights before `checkpoint`, which lies at `from`:
  // its own, those beside it, or those in the folder. Where they are gone, the best is forgotten.
  void carry_best(const train::Checkpoint& checkpoint, const std::filesystem::path& from);
  // Goes back to the weights of the best validation, where these are to be written.
  void take_best();
  void write_checkpoint();
  void write_output();
  void write_report(const std::string& subtitle);
  void write_report_now(const std::string& subtitle);
  void take_samples();
  void take_sample(const std::string& heading, const std::function<CoreMLModelWrapper()>& model);

  const CoreMLModelWrapper& model_;
  MakeStudent make_student_;
  TrainingData data_;
  TrainingSettings settings_;
  TrainingObserver& observer_;
  StudentModel student_;
  std::unique_ptr<train::Shuffle> shuffle_;
  std::unique_ptr<train::MetricsFile> metrics_;
  std::optional<FileLock> lock_;  // on the folder
  train::RunPosition position_;
  TrainingOutcome outcome_;
  int64_t examples_per_step_ = 0;
  double rate_ = 0;             // seconds of a step, a running mean
  int64_t resumed_step_ = 0;    // where this run began
  double resumed_seconds_ = 0;  // what was trained before that
  std::vector<train::Report::Sample> samples_;
};

}  // namespace mw
