// The options of `train`, `distill`, `grad` and `gradcheck` that say what the loss is.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "millwright/training.hpp"

namespace mw::cli {

struct LossOptions {
  std::string loss = "cross_entropy", target;
  float label_smoothing = 0;
  std::optional<int64_t> class_axis;
  std::vector<float> pos_weight;

  // The caller describes what it takes where --loss is left out.
  CLI::Option* add_to(CLI::App& command);
  void apply(StudentOptions& options) const;
};

// Throws where no label counted.
void expect_labels(const StepResult& result);

}  // namespace mw::cli
