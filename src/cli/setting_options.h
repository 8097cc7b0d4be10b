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
  using Wanted = std::function<bool(const std::string& name)>;

  // Declares an option for each setting of training that is `wanted`, by its name.
  void add_to(CLI::App& command, const Wanted& wanted);
  // The same of how a model is opened.
  void add_load_to(CLI::App& command, const Wanted& wanted);
  // The same of how a text is continued; of a list each value has an option of its own, since a
  // text may begin with anything.
  void add_generation_to(CLI::App& command, const GenerationSettings& usual);
  // Those of the loss, and which parameters are differentiated by.
  void add_loss_to(CLI::App& command);

  [[nodiscard]] bool given(const std::string& name) const;
  [[nodiscard]] CLI::Option& option(const std::string& name) const;
  // Sets what is given, the optimiser first. Throws as training::set() does.
  template <class Options>
  void apply(Options& options) const {
    if (given("optimizer")) training::set(options, "optimizer", values_of("optimizer"));
    for (const auto& [name, value] : given_) {
      if (name != "optimizer" && given(name)) training::set(options, name, values_of(name));
    }
  }

 private:
  struct Given {
    CLI::Option* option = nullptr;
    bool is_flag = false, flag = false;
    std::string one;
    std::vector<std::string> many;
  };
  CLI::Option& add(CLI::App& command, const training::SettingFacts& facts);
  [[nodiscard]] std::vector<std::string> values_of(const std::string& name) const;

  std::map<std::string, Given> given_;
};

}  // namespace mw::cli
