// metrics.jsonl: what each step of a run gave, a line each.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "base/output_file.h"
#include "millwright/training_report.hpp"

namespace mw::training {

using mw::StepRecord;

// Lines that cannot be read, as a killed run may leave one at the end, are left out.
std::vector<StepRecord> read_metrics(const std::filesystem::path& path);

class MetricsFile {
 public:
  // Keeps the lines up to step `last`, so that a run that goes on from there repeats none; -1
  // begins anew.
  MetricsFile(const std::filesystem::path& path, int64_t last);
  void append(const StepRecord& record);
  [[nodiscard]] const std::vector<StepRecord>& records() const { return records_; }

 private:
  std::optional<OutputFile> file_;
  std::vector<StepRecord> records_;
};

}  // namespace mw::training
