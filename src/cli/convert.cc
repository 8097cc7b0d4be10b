// millwright convert IN OUT: one container to another, names and metadata changed on the way.
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "adapters/file.h"
#include "base/error.h"
#include "base/printable.h"
#include "base/quantity_text.h"
#include "cli/command.h"
#include "cli/print.h"
#include "cli/written.h"
#include "exporter/export.h"
#include "ops/catalog.h"
#include "package/apart.h"
#include "package/container.h"
#include "package/identifiers.h"
#include "package/package.h"
#include "package/parts.h"

namespace mw::cli {
namespace {

struct Options {
  std::string in, out, adapter, adapter_names, function;
  std::vector<std::string> renames;
  bool strip = false, json = false, only_function = false;
};

// The arguments and outputs of a function: the values that callers know by name.
std::vector<ir::Value*> interface_of(const ir::Function& function) {
  std::vector<ir::Value*> values;
  values.reserve(function.body.arguments.size() + function.body.outputs.size());
  for (const auto& argument : function.body.arguments) values.push_back(argument.get());
  values.insert(values.end(), function.body.outputs.begin(), function.body.outputs.end());
  return values;
}

void collect(const ir::Block& block, std::vector<ir::Value*>& values) {
  for (const auto& argument : block.arguments) values.push_back(argument.get());
  for (const auto& op : block.ops) {
    for (const auto& output : op->outputs) values.push_back(output.get());
    for (const auto& nested : op->blocks) collect(*nested, values);
  }
}

// Gives `to` to the value; another value inside the function that has this name gets a fresh one.
void rename_value(ir::Function& function, ir::Value& value, const std::string& to) {
  std::vector<ir::Value*> values;
  collect(function.body, values);
  std::set<std::string> taken;
  for (const ir::Value* other : values) taken.insert(other->name);
  for (ir::Value* other : values) {
    if (other == &value || other->name != to) continue;
    int suffix = 0;
    std::string fresh;
    do {
      fresh = fmt::format("{}_{}", to, suffix++);
    } while (!taken.insert(fresh).second);
    other->name = fresh;
  }
  value.name = to;
}

void rename_features(package::FunctionDescription& description, const std::string& from,
                     const std::string& to) {
  for (auto* features : {&description.inputs, &description.outputs, &description.states}) {
    for (package::Feature& feature : *features) {
      if (feature.name == from) feature.name = to;
    }
  }
  if (description.predicted_feature_name == from) description.predicted_feature_name = to;
  if (description.predicted_probabilities_name == from) {
    description.predicted_probabilities_name = to;
  }
}

void rename(package::Model& model, const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos) {
    fail(ErrorCode::kInvalidArgument, "--rename {}: expected OLD=NEW", text);
  }
  const std::string from = text.substr(0, equals), to = text.substr(equals + 1);
  if (!package::is_identifier(to)) {
    fail(ErrorCode::kInvalidArgument,
         "--rename {}: expected letters, digits and underscores, got '{}'", text, to);
  }
  bool found = false;
  std::set<std::string> names;
  for (const auto& function : model.program->functions) {
    ir::Value* renamed = nullptr;
    bool taken = false;
    for (ir::Value* value : interface_of(*function)) {
      names.insert(value->name);
      if (value->name == from) renamed = value;
      taken |= value->name == to;
    }
    if (renamed == nullptr) continue;
    if (taken && from != to) {
      fail(ErrorCode::kInvalidArgument,
           "--rename {}: function '{}' has an input or output '{}' already", text, function->name,
           to);
    }
    rename_value(*function, *renamed, to);
    found = true;
    for (auto& description : model.functions) {
      if (description.name == function->name) rename_features(description, from, to);
    }
  }
  if (!found) {
    fail(ErrorCode::kInvalidArgument, "--rename {}: no input or output is named '{}'; there are {}",
         text, from, fmt::join(names, ", "));
  }
}

void add_adapter(package::Model& model, const Options& o) {
  const std::string& function = o.function.empty() ? model.default_function : o.function;
  const ir::Function* adapted = model.program->find_function(function);
  if (adapted == nullptr) {
    std::string names;
    for (const auto& known : model.functions) names += (names.empty() ? "" : ", ") + known.name;
    fail(ErrorCode::kInvalidArgument, "function '{}': expected one of {}", function, names);
  }
  const adapters::AdapterSet set =
      adapters::read_adapters(o.adapter, *adapted, ops::catalog(), o.adapter_names);
  const auto reach =
      o.only_function ? exporter::Reach::kOneFunction : exporter::Reach::kAllFunctions;
  for (const std::string& note : exporter::notes_on_sharing(model, *adapted, set, reach)) {
    inform("{}\n", printable(note));
  }
  for (const std::string& warning : exporter::fuse(model, function, set, reach)) {
    inform("warning: {}\n", printable(warning));
  }
}

void convert(const Options& o) {
  if (package::container_named(o.out) || !package::holds_parts(o.in)) {
    in_context([&] { return o.out; }, [&] { (void)package::container_for(o.out); });
  }
  std::filesystem::path out = o.out;
  if (out.filename().empty()) out = out.parent_path();  // "x.mlpackage/"
  package::expect_apart("OUT", o.out, {{"IN", o.in, true}, {"--adapter", o.adapter}});
  package::Model model = package::read(o.in);
  in_context([&] { return o.in; },
             [&] {
               (void)package::correct(model, ops::catalog());
               if (!o.adapter.empty()) add_adapter(model, o);
               for (const std::string& text : o.renames) rename(model, text);
             });
  write_and_tell(model, out, {.strip_metadata = o.strip}, o.json);
}

}  // namespace

void add_convert(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("convert", "Write a model as .mlpackage, .mlmodelc or .mlmodel");
  command->add_option("in", options->in, "the model to read")->required();
  command->add_option("out", options->out, "the model to write; its extension chooses the format")
      ->required();
  command->add_flag("--strip", options->strip,
                    "leave out author, licence, descriptions and other metadata");
  CLI::Option* adapter = command->add_option(
      "--adapter", options->adapter,
      "what `train --lora-rank`, Hugging Face PEFT or mlx-lm wrote, added to the weights");
  command
      ->add_option("--adapter-names", options->adapter_names,
                   "which weights the adapter's modules have, where their names do not tell")
      ->needs(adapter);
  command
      ->add_option("--function", options->function,
                   "the function that the adapter is of (default: the package's own)")
      ->needs(adapter);
  command
      ->add_flag("--only-function", options->only_function,
                 "add the adapter to that function alone, also where others share the weights")
      ->needs(adapter);
  command->add_option("--rename", options->renames, "OLD=NEW: rename an input, output or state")
      ->take_all();
  command->add_flag("--json", options->json, "print JSON");
  command->callback([options] { convert(*options); });
}

}  // namespace mw::cli
