// What `inspect --plan` prints.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

#include "cli/setting_options.h"
#include "millwright/millwright.hpp"

namespace mw::cli {

class PlanOptions {
 public:
  void add_to(CLI::App& command);
  [[nodiscard]] bool wanted() const { return wanted_; }
  // Prints the plan of the model, or of a program of its training; or what is planned, as text.
  enum class As : uint8_t { kSteps, kProgram };
  void print(const std::string& model, const std::string& function, As as) const;

 private:
  [[nodiscard]] TensorMap inputs_for(const CoreMLModelWrapper& model) const;
  [[nodiscard]] std::string plan_of(const CoreMLModelWrapper& model) const;

  bool wanted_ = false;
  std::string program_, inputs_;
  int64_t seq_len_ = 0, batch_size_ = 0;
  SettingOptions settings_, load_;
};

}  // namespace mw::cli
