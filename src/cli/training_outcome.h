// What `train` and `distill` print at the end of a run.
#pragma once

#include <filesystem>
#include <string>

#include "api/training_run.h"
#include "cli/training_summary.h"

namespace mw::cli {

struct WrittenFiles {
  std::filesystem::path output, adapter;  // the adapter may be the output, or empty
};

// The command as it was typed, with --resume.
std::string resume_command();

void print_json_outcome(const TrainingOutcome& outcome, const TrainingSummary& summary,
                        const WrittenFiles& files);
void print_outcome(const TrainingOutcome& outcome, const WrittenFiles& files);

}  // namespace mw::cli
