// report(): a training run as one HTML page, without anything from elsewhere.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "train/metrics.h"

namespace mw::training {

struct Report {
  std::string title;                                       // "student.mlpackage on shakespeare.txt"
  std::string subtitle;                                    // "finished after 1,000 steps"
  std::vector<std::pair<std::string, std::string>> facts;  // large, at the top
  std::vector<std::pair<std::string, std::string>> settings;  // a table
  std::string loss_name = "training";                         // of the loss of the steps
  std::vector<StepRecord> records;
  struct Sample {
    std::string heading, prompt, text;
  };
  std::vector<Sample> samples;
};

std::string html_of(const Report& report);

}  // namespace mw::training
