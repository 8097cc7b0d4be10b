// Each setting's option: its name, what is refused already on the command line, its line of help.
#include "cli/setting_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "cli/spelling.h"

namespace mw::cli {
namespace {

using training::SettingFacts;

// "--lr,--learning-rate": a setting with a short name keeps its own.
std::string option_names(const std::string& setting) {
  std::string own = "--" + setting;
  std::replace(own.begin(), own.end(), '_', '-');
  const std::string name = option_of(setting);
  return name == own ? own : name + "," + own;
}

CLI::Validator validator_of(const SettingFacts& facts) {
  return {[objection = facts.objection](const std::string& text) { return objection(text); }, "",
          "SETTING"};
}

std::string type_name(const SettingFacts& facts) {
  if (facts.type == "number") return "FLOAT";
  if (facts.type == "whole number") return facts.allowed.bytes ? "SIZE" : "INT";
  if (!facts.choices.empty()) return fmt::format("{}", fmt::join(facts.choices, "|"));
  return "TEXT";
}

// "of adamw, adam (default: 0.9)"; "(default: adamw 0.001, sgd 0.01)"
std::string usual_with_optimizers(const SettingFacts& facts, size_t optimizers) {
  std::map<std::string, std::vector<std::string>> by_value;
  std::vector<std::string> names;
  for (const auto& [name, value] : facts.optimizers) {
    by_value[value].push_back(name);
    names.push_back(name);
  }
  const std::string of =
      names.size() == optimizers ? "" : fmt::format(", of {}", fmt::join(names, ", "));
  if (by_value.size() == 1) return fmt::format("{} (default: {})", of, by_value.begin()->first);
  std::string usual;
  for (const auto& [name, value] : facts.optimizers) {
    usual += fmt::format("{}{} {}", usual.empty() ? "" : ", ", name, value);
  }
  return fmt::format("{} (default: {})", of, usual);
}

size_t count_optimizers(const std::vector<SettingFacts>& all) {
  for (const SettingFacts& facts : all) {
    if (facts.name == "optimizer") return facts.choices.size();
  }
  return 0;
}

}  // namespace

CLI::Option& SettingOptions::add(CLI::App& command, const SettingFacts& facts) {
  Given& given = given_[facts.name];
  const std::string names = option_names(facts.name);
  if (facts.type == "flag") {
    given.is_flag = true;
    given.option = command.add_flag(names, given.flag, facts.help);
    return *given.option;
  }
  if (facts.is_list) {
    given.option = command.add_option(names, given.many, facts.help)->take_all();
  } else {
    given.option = command.add_option(names, given.one, facts.help);
  }
  given.option->type_name(type_name(facts));
  if (facts.allowed.bytes) given.option->transform(CLI::AsSizeValue(true).description(""));
  if (facts.objection) given.option->check(validator_of(facts));
  const bool is_told = !facts.usual.empty() && !facts.usual[0].empty() && facts.optimizers.empty();
  if (is_told) given.option->default_str(fmt::format("{}", fmt::join(facts.usual, " ")));
  return *given.option;
}

void SettingOptions::add_generation_to(CLI::App& command, const GenerationSettings& usual) {
  for (const SettingFacts& facts : training::members_of(usual)) {
    CLI::Option& option = add(command, facts);
    // With more values than one the parser takes "[INST]" for a list.
    if (facts.is_list) option.expected(1)->allow_extra_args(false);
  }
}

void SettingOptions::add_load_to(CLI::App& command, const Wanted& wanted) {
  for (const SettingFacts& facts : training::members_of(LoadOptions())) {
    if (wanted(facts.name)) add(command, facts);
  }
  if (given_.contains("threads")) option("threads").default_str("");
}

void SettingOptions::add_to(CLI::App& command, const Wanted& wanted) {
  const std::vector<SettingFacts> all = training::facts_of_training();
  const size_t optimizers = count_optimizers(all);
  for (SettingFacts facts : all) {
    if (!wanted(facts.name)) continue;
    if (!facts.optimizers.empty()) facts.help += usual_with_optimizers(facts, optimizers);
    add(command, facts);
  }
}

void SettingOptions::add_loss_to(CLI::App& command) {
  add_to(command, [](const std::string& name) {
    static const std::set<std::string> kOfLoss = {"loss",       "target",     "label_smoothing",
                                                  "class_axis", "pos_weight", "trainable"};
    return kOfLoss.contains(name);
  });
}

bool SettingOptions::given(const std::string& name) const {
  const auto found = given_.find(name);
  return found != given_.end() && found->second.option->count() > 0;
}

CLI::Option& SettingOptions::option(const std::string& name) const {
  return *given_.at(name).option;
}

std::vector<std::string> SettingOptions::values_of(const std::string& name) const {
  const Given& given = given_.at(name);
  if (given.is_flag) return {training::text_of(given.flag)};
  return given.many.empty() ? std::vector{given.one} : given.many;
}

}  // namespace mw::cli
