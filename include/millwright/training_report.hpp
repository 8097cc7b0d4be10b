// What a run of training tells: on its way, and at its end.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "millwright/tensor.hpp"

namespace mw {

// A line of metrics.jsonl.
struct StepRecord {
  int64_t step = 0;  // 0: before the first, with a validation loss only
  std::optional<double> loss, grad_norm, learning_rate;
  std::optional<double> valid_loss;  // where it was taken
  int64_t tokens = 0;                // labels that counted in this step
  double seconds = 0;                // of this step
  int64_t memory = 0;                // bytes resident
};

struct TrainingProgress {
  StepRecord record;                 // of the step that was taken
  int64_t steps = 0;                 // that the run is to take
  std::optional<double> valid_loss;  // the last one taken
  bool is_text = false;              // what is counted below
  double per_second = 0;             // tokens of a text, else examples
  double seconds_left = 0;
};

// Sees a run on its way, in the thread that runs it. What a function throws ends the run as
// should_stop() does, and arrives at the caller of train().
class MW_API TrainingObserver {
 public:
  virtual ~TrainingObserver();
  // Bytes read of a file of data, and bytes in all.
  virtual void reading(const std::string& file, int64_t done, int64_t all);
  // What is trained and minimised, where it went on from, what was left out.
  virtual void note(const std::string& sentence);
  // How a note calls a setting; a command line has --lora-rank for lora_rank.
  virtual std::string called(const std::string& setting);
  virtual void stepped(const TrainingProgress& progress);
  // Examples of a validation under way.
  virtual void evaluated(int64_t done, int64_t all);
  // Asked before every step, between its batches and in validations. A run that is stopped writes a
  // checkpoint and the report, and no package; with `resume` it goes on.
  virtual bool should_stop();
};

struct TrainingReport {
  bool interrupted = false;
  bool stopped_early = false;     // out of patience
  std::string objective;          // what was minimised; empty: no step was left to do
  int64_t step = 0;               // the last one, counted from the beginning of the training
  int64_t written_step = 0;       // whose weights were written
  std::vector<StepRecord> steps;  // of the whole training
  std::optional<double> loss, valid_loss, best_loss, test_loss;  // the last ones; the best
  int64_t best_step = 0;
  int64_t tokens = 0;                            // labels that counted, all steps together
  double seconds = 0;                            // of all steps together
  uint64_t step_bytes = 0;                       // as StudentModel::step_bytes()
  int64_t trained_numbers = 0, all_numbers = 0;  // of the model; of its adapters, where it has some
  std::filesystem::path output, adapter;         // what was written; the adapter may be the output
  std::filesystem::path checkpoint;              // the last one
  std::filesystem::path html;                    // the report as a page
  std::vector<std::string> warnings;             // as StudentModel::save()
  std::vector<std::string> notes;                // as TrainingObserver::note()

  [[nodiscard]] double tokens_per_second() const {
    return seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
  }
};

}  // namespace mw
