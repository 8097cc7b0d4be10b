// Options of commands that stand for settings of training, made of what settings.hpp says of them.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "train/settings.h"

namespace mw::cli {

class SettingOptions {
 public:
  // Declares an option for each setting that is `wanted`, by its name.
  void add_to(CLI::App& command, const std::function<bool(const std::string& name)>& wanted);
  // Those of the loss, and which parameters are differentiated by.
  void add_loss_to(CLI::App& command);

  [[nodiscard]] bool given(const std::string& name) const;
  [[nodiscard]] CLI::Option& option(const std::string& name) const;
  // The setting of an option; empty: it stands for none.
  [[nodiscard]] std::string setting_of(const CLI::Option& option) const;
  // Sets what is given, the optimiser first. Throws as train::set() does.
  void apply(StudentOptions& options) const;

 private:
  struct Given {
    CLI::Option* option = nullptr;
    bool is_flag = false, flag = false;
    std::string one;
    std::vector<std::string> many;
  };
  void add(CLI::App& command, const train::SettingFacts& facts);

  std::map<std::string, Given> given_;
};

// Declares the options of a teacher, bound to `options`.
void add_distill_options(CLI::App& command, DistillOptions& options);

}  // namespace mw::cli
