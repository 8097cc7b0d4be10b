// The facts of settings as a table and as JSON.
#include "cli/settings_table.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/describe.h"
#include "cli/print.h"
#include "cli/spelling.h"
#include "train/settings.h"

namespace mw::cli {
namespace {

using nlohmann::json;
using training::SettingFacts;

std::string allowed_of(const SettingFacts& facts) {
  if (!facts.choices.empty()) return training::listed(facts.choices);
  const bool whole = facts.type == "whole number";
  const std::string one = whole || facts.type == "number"
                              ? training::allowed_text(facts.allowed, whole)
                          : facts.type == "flag" ? "true or false"
                          : facts.type == "path" ? "a path"
                                                 : "a text";
  return facts.is_list ? "a list, each " + one : one;
}

json json_of(const SettingFacts& facts) {
  json row = {{"name", facts.name},
              {"help", facts.help},
              {"type", facts.type},
              {"list", facts.is_list},
              {"usual", facts.usual},
              {"optional", facts.is_optional},
              {"choices", facts.choices},
              {"allowed", allowed_of(facts)},
              {"option", option_of(facts.name)}};
  for (const auto& [name, value] : facts.optimizers) {
    row["optimizers"].push_back({{"name", name}, {"usual", value}});
  }
  return row;
}

template <class S>
json struct_of(bool is_optimizer) {
  json row = {{"name", S::kName}, {"help", S::kHelp}, {"optimizer", is_optimizer}};
  for (const SettingFacts& facts : training::members_of(S())) {
    row["members"].push_back(json_of(facts));
  }
  return row;
}

json structs() {
  json all = json::array();
  const auto optimizers = [&]<class... T>(const std::variant<T...>*) {
    (all.push_back(struct_of<T>(true)), ...);
  };
  optimizers(static_cast<const Optimizer*>(nullptr));
  all.push_back(struct_of<Schedule>(false));
  all.push_back(struct_of<ParameterGroup>(false));
  all.push_back(struct_of<Lora>(false));
  all.push_back(struct_of<LogitBias>(false));
  all.push_back(struct_of<StudentOptions>(false));
  all.push_back(struct_of<DistillOptions>(false));
  all.push_back(struct_of<RunSettings>(false));
  all.push_back(struct_of<LoadOptions>(false));
  all.push_back(struct_of<GenerationSettings>(false));
  return all;
}

}  // namespace

void print_settings() {
  Table table("");
  for (const SettingFacts& facts : training::facts_of_training()) {
    table.row({option_of(facts.name), allowed_of(facts), facts.help});
  }
  answer("{}", table.str());
}

void print_settings_json() {
  json rows = json::array();
  for (const SettingFacts& facts : training::facts_of_training()) rows.push_back(json_of(facts));
  print_json({{"settings", rows}, {"structs", structs()}});
}

}  // namespace mw::cli
