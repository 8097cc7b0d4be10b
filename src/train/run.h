// Run: the loop around a Student, from the first step to the written package.
//
//   Run run(student, load_training_data(model, settings), {.settings = settings}, files, observer);
//   TrainingReport report = run.finish();
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/file_lock.h"
#include "train/batches.h"
#include "train/checkpoint.h"
#include "train/metrics.h"
#include "train/observed.h"
#include "train/report.h"
#include "train/run_files.h"
#include "train/student.h"

namespace mw::training {

struct RunPlan {
  RunSettings settings;
  // More settings that a resumed run must not change, by name, with their values as text.
  std::map<std::string, std::string> fixed;
  std::vector<std::pair<std::string, std::string>> shown;  // in the report
  std::string loss_name = "training";                      // there: what a step's loss is
};

// For checkpoints, metrics.jsonl and report.html.
std::filesystem::path run_folder(const RunSettings& settings);

class Run {
 public:
  // `data` may hold nothing when there are no steps to do. Student, files and observer outlive the
  // run.
  Run(Student& student, TrainingData data, RunPlan plan, RunFiles& files,
      TrainingObserver& observer);

  // Trains, writes the package (unless it was interrupted) and the report. Throws invalid_argument
  // with the step and the op when the loss is no longer finite, and what the observer throws.
  TrainingReport finish();

  // Tokens that a text for the report may run the model on, after a run of so many steps.
  static int64_t sample_budget(int64_t steps, int64_t tokens_per_step);

 private:
  void train_and_write();
  void resume();
  [[nodiscard]] bool goes_on() const;
  void clear_later_checkpoints() const;
  void check_fixed(const RunPosition& position, const std::filesystem::path& path) const;
  [[nodiscard]] std::map<std::string, std::string> fixed() const;
  void loop();
  void step();
  StepResult try_step();
  // After a step that failed: throws where a number that is not finite is the reason.
  void explain_failure();
  // Of a call of the step that comes.
  [[nodiscard]] std::vector<int64_t> examples_of(int64_t call);
  [[nodiscard]] TensorMap batch(int64_t call);
  [[nodiscard]] int64_t calls_per_step() const { return examples_per_step_ / data_.call_size; }
  [[nodiscard]] bool evaluation_is_due() const;
  // Nothing when it was interrupted.
  // The first `batches` of it, or all.
  std::optional<double> evaluate(const Dataset& dataset, const std::optional<int64_t>& batches);
  void take_valid_loss(StepRecord& record);
  [[nodiscard]] bool is_out_of_patience() const;
  [[nodiscard]] bool has_steps_left() const;
  void check_patience() const;
  // Sees to it that the folder holds the best weights before `checkpoint`, which lies at `from`:
  // its own, those beside it, or those in the folder. Where they are gone, the best is forgotten.
  void carry_best(const Checkpoint& checkpoint, const std::filesystem::path& from);
  // Goes back to the weights of the best validation, where these are to be written.
  void take_best();
  void keep_checkpoint();
  void tell_position();  // in the report
  void write_report(const std::string& subtitle);
  void write_report_now(const std::string& subtitle);
  void take_samples();
  void take_sample(const std::string& heading,
                   const std::function<std::shared_ptr<const lm::Model>()>& model);

  Student& student_;
  TrainingData data_;
  RunPlan plan_;
  RunFiles& files_;
  Observed observer_;
  std::filesystem::path folder_;
  std::unique_ptr<Shuffle> shuffle_;
  std::unique_ptr<MetricsFile> metrics_;
  std::optional<FileLock> lock_;  // on the folder
  RunPosition position_;
  TrainingReport report_;
  int64_t examples_per_step_ = 0;
  double rate_ = 0;             // seconds of a step, a running mean
  int64_t resumed_step_ = 0;    // where this run began
  double resumed_seconds_ = 0;  // what was trained before that
  std::vector<Report::Sample> samples_;
};

}  // namespace mw::training
