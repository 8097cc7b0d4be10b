// millwright inspect MODEL: functions, features, operations, weights, and what can be trained.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "adapters/sites.h"
#include "base/error.h"
#include "base/printable.h"
#include "base/quantity_text.h"
#include "cli/command.h"
#include "cli/describe.h"
#include "cli/inspect_language_model.h"
#include "cli/inspect_parts.h"
#include "cli/inspect_plan.h"
#include "cli/print.h"
#include "ir/text/text.h"
#include "ops/catalog.h"

namespace mw::cli {
namespace {

struct Options {
  std::string model, function, tokenizer;
  std::vector<std::string> roles;
  bool weights = false, json = false, mil = false;
  PlanOptions plan;
};

using Infos = std::vector<ops::ParameterInfo>;

struct Amount {
  size_t tensors = 0;
  int64_t numbers = 0;
  uint64_t bytes = 0;
  void add(const ops::ParameterInfo& info) {
    ++tensors;
    const ir::Type& type = info.value->type;
    if (type.is_tensor() && type.is_static()) numbers += count_of(type.shape());
    bytes += info.bytes;
  }
};

struct FunctionFacts {
  const package::FunctionDescription* description;
  const ir::Function* function;
  std::map<std::string, int64_t> census;
  Infos weights;
  std::optional<lm::Finding> language_model;
};

std::vector<FunctionFacts> facts_of(const package::Model& model, const Options& o) {
  std::vector<FunctionFacts> result;
  std::string names;
  for (const auto& description : model.functions) {
    names += (names.empty() ? "" : ", ") + description.name;
    if (!o.function.empty() && description.name != o.function) continue;
    const ir::Function* function = model.program->find_function(description.name);
    if (function == nullptr) continue;
    FunctionFacts facts{.description = &description, .function = function};
    ir::for_each_op(function->body, [&](const ir::Operation& op) { ++facts.census[op.type]; });
    facts.weights = adapters::parameters_of(*function, ops::catalog());
    result.push_back(std::move(facts));
  }
  if (result.empty()) {
    fail(ErrorCode::kInvalidArgument, "function '{}': expected one of {}", o.function, names);
  }
  return result;
}

struct Findings {
  std::string obstacle;                  // why this build cannot run the program; empty when it can
  std::vector<std::string> corrections;  // declared types that are taken otherwise
};

Findings check(package::Model& model) {
  Findings findings;
  try {
    for (const ir::Correction& correction : package::correct(model, ops::catalog())) {
      findings.corrections.push_back(correction.text());
    }
  } catch (const Error& e) {
    findings.obstacle = e.what();
  }
  return findings;
}

void print_findings(const Findings& findings) {
  if (!findings.obstacle.empty()) {
    answer("this build cannot run it: {}\n", findings.obstacle);
  }
  constexpr size_t kShown = 3;
  const auto& corrections = findings.corrections;
  for (size_t i = 0; i < std::min(corrections.size(), kShown); ++i) {
    answer("note: {}; coremltools declares such types too small\n", printable(corrections[i]));
  }
  if (corrections.size() > kShown) {
    answer("note: and {} more of the same kind; --json lists them\n", corrections.size() - kShown);
  }
}

std::optional<std::string> tokenizer_path(const Options& o) {
  try {
    return Tokenizer::find(o.model, o.tokenizer).path();
  } catch (const Error& e) {
    if (!o.tokenizer.empty() || e.code() != ErrorCode::kIo) throw;
    return std::nullopt;
  }
}

std::vector<std::pair<std::string, std::string>> metadata_of(const package::Metadata& metadata) {
  std::vector<std::pair<std::string, std::string>> rows;
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) rows.emplace_back(name, value);
  };
  add("description", metadata.short_description);
  add("version", metadata.version);
  add("author", metadata.author);
  add("license", metadata.license);
  for (const auto& [name, value] : metadata.user_defined) add(name.c_str(), value);
  return rows;
}

const char* verdict_of(const ops::ParameterInfo& info) {
  return info.trainable ? "in" : info.selectable ? "by name" : "out";
}

std::string reason_of(const ops::ParameterInfo& info) {
  return info.uses > 1 ? fmt::format("{} ({} uses)", info.reason, info.uses) : info.reason;
}

nlohmann::json weights_json(const Infos& infos) {
  nlohmann::json rows = nlohmann::json::array();
  for (const auto& info : infos) {
    nlohmann::json row = {{"name", info.name},
                          {"storage", info.storage},
                          {"compressed", info.compressed},
                          {"bytes", info.bytes},
                          {"trainable", info.trainable},
                          {"selectable", info.selectable},
                          {"reason", info.reason},
                          {"uses", info.uses}};
    if (info.value->type.is_tensor() && info.value->type.has_rank()) {
      row["dtype"] = name_of(info.value->type.dtype());
      row["shape"] = info.value->type.shape();
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

nlohmann::json function_json(const FunctionFacts& facts) {
  nlohmann::json json = {
      {"name", facts.function->name},      {"opset", ir::name_of(facts.function->opset)},
      {"inputs", nlohmann::json::array()}, {"outputs", nlohmann::json::array()},
      {"states", nlohmann::json::array()}, {"ops", facts.census}};
  for (const auto& f : facts.description->inputs) {
    json["inputs"].push_back(feature_json(f, argument_named(*facts.function, f.name)));
  }
  for (const auto& f : facts.description->outputs) {
    json["outputs"].push_back(feature_json(f, output_named(*facts.function, f.name)));
  }
  for (const auto& f : facts.description->states) {
    json["states"].push_back(feature_json(f, argument_named(*facts.function, f.name)));
  }
  Amount in;
  for (const auto& info : facts.weights) {
    if (info.trainable) in.add(info);
  }
  if (facts.language_model) json["language_model"] = finding_json(*facts.language_model);
  json["trainable"] = {{"tensors", in.tensors}, {"numbers", in.numbers}};
  json["weights"] = weights_json(facts.weights);
  return json;
}

void print_features(const FunctionFacts& facts) {
  Table table("    ");
  const auto add = [&](const char* kind, const std::vector<package::Feature>& features,
                       bool arguments) {
    for (const auto& f : features) {
      const ir::Value* value = arguments ? argument_named(*facts.function, f.name)
                                         : output_named(*facts.function, f.name);
      table.row({kind, f.name, feature_text(f, value), f.description});
      kind = "";
    }
  };
  add("inputs", facts.description->inputs, true);
  add("outputs", facts.description->outputs, false);
  add("states", facts.description->states, true);
  answer("{}", table.str());
}

void print_census(const std::map<std::string, int64_t>& census) {
  std::vector<std::pair<std::string, int64_t>> rows(census.begin(), census.end());
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  std::vector<std::string> words;
  int64_t total = 0;
  for (const auto& [name, count] : rows) {
    if (name != ir::kConstOp) words.push_back(fmt::format("{} {}", name, count));
    if (name != ir::kConstOp) total += count;
  }
  const auto consts = census.find(std::string(ir::kConstOp));
  answer("\n  operations  {}, and {} constants\n{}", with_commas(total),
         with_commas(consts == census.end() ? 0 : consts->second), wrapped(words, "    "));
}

std::string counted(size_t count, const char* what) {
  return fmt::format("{} {}{}", with_commas(static_cast<int64_t>(count)), what,
                     count == 1 ? "" : "s");
}

// Small tables of integers are the arithmetic of shapes and indices.
bool is_small_integer(const ops::ParameterInfo& info) {
  const ir::Type& type = info.value->type;
  return type.is_tensor() && !is_float(type.dtype()) && info.bytes <= 64;
}

void print_groups(const Infos& infos) {
  std::map<std::string, Amount> storage, in, out;
  Amount all_in;
  for (const auto& info : infos) {
    storage[info.storage].add(info);
    (info.trainable ? in : out)[info.reason].add(info);
    if (info.trainable) all_in.add(info);
  }
  const auto print = [](const std::map<std::string, Amount>& groups, bool numbers) {
    std::vector<std::pair<std::string, Amount>> rows(groups.begin(), groups.end());
    std::stable_sort(rows.begin(), rows.end(),
                     [](const auto& a, const auto& b) { return a.second.bytes > b.second.bytes; });
    Table table("    ");
    for (const auto& [name, amount] : rows) {
      table.row({name,
                 fmt::format("{:>5} {}", with_commas(static_cast<int64_t>(amount.tensors)),
                             amount.tensors == 1 ? "tensor" : "tensors"),
                 numbers ? fmt::format("{:>12}", with_commas(amount.numbers))
                         : fmt::format("{:>9}", memory_text(amount.bytes))});
    }
    answer("{}", table.str());
  };
  answer("\n  storage\n");
  print(storage, false);
  answer("\n  can be trained  {}, {} numbers\n", counted(all_in.tensors, "tensor"),
         with_commas(all_in.numbers));
  print(in, true);
  if (!out.empty()) answer("\n  not trained unless stated\n");
  print(out, true);
}

void print_weights(const Infos& infos) {
  Table table("    ");
  table.row({"name", "shape", "storage", "bytes", "trained", "why"});
  size_t hidden = 0;
  for (const auto& info : infos) {
    const ir::Type& type = info.value->type;
    if (is_small_integer(info)) {
      ++hidden;
      continue;
    }
    table.row({info.name,
               type.is_tensor() && type.has_rank() ? to_string(type.shape()) : type.str(),
               info.storage, fmt::format("{:>9}", memory_text(info.bytes)), verdict_of(info),
               reason_of(info)});
  }
  answer("\n  weights\n{}", table.str());
  if (hidden > 0) {
    answer("    and {} of a few integers or flags\n", counted(hidden, "constant"));
  }
}

// At most 200 bytes, no character cut in two.
std::string beginning_of(const std::string& text) {
  constexpr size_t kLongest = 200;
  if (text.size() <= kLongest) return text;
  size_t end = kLongest;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xc0U) == 0x80) --end;
  return text.substr(0, end) + " ...";
}

void print_human(const package::Model& model, const std::vector<FunctionFacts>& functions,
                 const Findings& findings, const Options& o) {
  answer("{}  ML Program, {}, specification {}, {} of weights\n",
         printable(model.path.filename().empty() ? o.model : model.path.filename().string()),
         form_of(model), model.spec_version, memory_text(model.weight_bytes()));
  if (model.parts != nullptr) print_parts(*model.parts);
  print_findings(findings);
  for (const auto& facts : functions) {
    const bool is_default = functions.size() > 1 && facts.function->name == model.default_function;
    answer("\nfunction {}  {}{}\n", printable(facts.function->name),
           ir::name_of(facts.function->opset), is_default ? "  (default)" : "");
    print_features(facts);
    if (facts.language_model) print_finding(*facts.language_model);
    print_census(facts.census);
    if (facts.weights.empty()) continue;
    if (o.weights) {
      print_weights(facts.weights);
    } else {
      print_groups(facts.weights);
    }
  }
  const auto rows = metadata_of(model.metadata);
  Table table("  ");
  for (const auto& [name, value] : rows) table.row({name, beginning_of(value)});
  if (!rows.empty()) answer("\nmetadata\n{}", table.str());
  answer("\ntokenizer  {}\n", printable(tokenizer_path(o).value_or("none in or beside the model")));
  if (!o.weights) {
    answer("--weights lists every weight with what speaks for or against training it\n");
  }
}

void print_json_facts(const package::Model& model, const std::vector<FunctionFacts>& functions,
                      const Findings& findings, const Options& o) {
  nlohmann::json json = {{"path", o.model},
                         {"container", form_of(model)},
                         {"specification", model.spec_version},
                         {"default_function", model.default_function},
                         {"weight_bytes", model.weight_bytes()},
                         {"functions", nlohmann::json::array()},
                         {"metadata", nlohmann::json::object()}};
  if (model.parts != nullptr) json["parts"] = parts_json(*model.parts);
  json["runs"] = findings.obstacle.empty();
  if (!findings.obstacle.empty()) json["obstacle"] = findings.obstacle;
  if (!findings.corrections.empty()) json["corrected_types"] = findings.corrections;
  for (const auto& facts : functions) json["functions"].push_back(function_json(facts));
  for (const auto& [name, value] : metadata_of(model.metadata)) json["metadata"][name] = value;
  const auto tokenizer = tokenizer_path(o);
  json["tokenizer"] = tokenizer ? nlohmann::json(*tokenizer) : nlohmann::json();
  print_json(json);
}

void inspect(const Options& o) {
  if (o.plan.wanted()) {
    const auto as = o.mil ? PlanOptions::As::kProgram : PlanOptions::As::kSteps;
    return o.plan.print(o.model, o.function, as);
  }
  package::Model model = package::read(o.model);
  in_context([&] { return o.model; },
             [&] {
               const Findings findings = check(model);
               std::vector<FunctionFacts> functions = facts_of(model, o);
               for (FunctionFacts& facts : functions) {
                 if (o.mil || !findings.obstacle.empty()) break;
                 facts.language_model = language_model_of(
                     o.model,
                     {.function = facts.function->name, .tokenizer = o.tokenizer, .role = o.roles});
               }
               if (o.mil) {
                 if (o.function.empty()) {
                   answer_bytes(ir::text::print(*model.program));
                 } else {
                   answer_bytes(ir::text::print(*functions[0].function));
                 }
               } else if (o.json) {
                 print_json_facts(model, functions, findings, o);
               } else {
                 print_human(model, functions, findings, o);
               }
             });
}

}  // namespace

void add_inspect(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "inspect", "Show what is in a model: features, operations, weights, what can be trained");
  command
      ->add_option("model", options->model,
                   "a .mlmodelc or .mlpackage folder, a folder of parts, or an .mlmodel file")
      ->required();
  command->add_option("--function", options->function,
                      "only this function of a multi-function package");
  command->add_option("--tokenizer", options->tokenizer,
                      "tokenizer.json or its folder (default: in or beside the model)");
  command
      ->add_option("--role", options->roles,
                   "what an input of a language model takes, NAME=ROLE; several times")
      ->allow_extra_args(false);
  command->add_flag("--weights", options->weights, "list every weight");
  CLI::Option* json = command->add_flag("--json", options->json, "print all facts as JSON");
  CLI::Option* mil = command->add_flag("--mil", options->mil,
                                       "print the program as text; with --plan as it is planned");
  mil->excludes(json);
  options->plan.add_to(*command);
  command->get_option("--plan")->excludes(json);
  command->callback([options] { inspect(*options); });
}

}  // namespace mw::cli
