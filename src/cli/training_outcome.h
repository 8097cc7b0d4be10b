// What `train` and `distill` print at the end of a run.
#pragma once

#include <string>

#include "millwright/training_report.hpp"

namespace mw::cli {

// The command as it was typed, with --resume.
std::string resume_command();

void print_json_outcome(const TrainingReport& report);
void print_outcome(const TrainingReport& report);

}  // namespace mw::cli
