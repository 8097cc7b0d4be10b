// millwright run MODEL --inputs FILE: predictions in order, states kept from one to the next.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "api/impl.h"
#include "base/error.h"
#include "base/glob.h"
#include "base/printable.h"
#include "base/tensor_file.h"
#include "cli/command.h"
#include "cli/describe.h"
#include "cli/print.h"
#include "cli/results.h"
#include "package/apart.h"
#include "passes/pipeline.h"

namespace mw::cli {
namespace {

struct Options {
  ModelOptions model;
  std::vector<std::string> inputs, named, taps, only;
  std::string output;
  bool json = false, profile = false;
};

std::string inputs_text(const CoreMLModelWrapper& model) {
  std::string text;
  for (const FeatureDescription& input : model.inputs()) {
    text += (text.empty() ? "" : ", ") + input.name;
  }
  return text.empty() ? "nothing" : text;
}

void check_names(const TensorMap& given, const std::string& file, const CoreMLModelWrapper& model) {
  const auto inputs = model.inputs();
  for (const auto& [name, tensor] : given) {
    if (std::none_of(inputs.begin(), inputs.end(),
                     [&](const auto& input) { return input.name == name; })) {
      fail(ErrorCode::kInvalidArgument, "{}: '{}' is no input of the model, which takes {}", file,
           name, inputs_text(model));
    }
  }
}

TensorMap read_inputs(const std::string& file, const CoreMLModelWrapper& model) {
  TensorMap tensors = read_tensors(file);
  const auto inputs = model.inputs();
  if (tensors.size() == 1 && tensors.begin()->first.empty()) {
    if (inputs.size() != 1) {
      fail(ErrorCode::kInvalidArgument,
           "{}: a .npy file holds no name and the model takes {}; use --input NAME=FILE", file,
           inputs_text(model));
    }
    return {{inputs[0].name, tensors.begin()->second}};
  }
  check_names(tensors, file, model);
  return tensors;
}

// NAME=FILE with a file that holds one tensor, or one of that name.
std::pair<std::string, Tensor> read_named(const std::string& text,
                                          const CoreMLModelWrapper& model) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
    fail(ErrorCode::kInvalidArgument, "--input {}: expected NAME=FILE", text);
  }
  const std::string name = text.substr(0, equals), file = text.substr(equals + 1);
  TensorMap tensors = read_tensors(file);
  check_names({{name, Tensor()}}, "--input " + text, model);
  const auto found = tensors.size() == 1 ? tensors.begin() : tensors.find(name);
  if (found == tensors.end()) {
    fail(ErrorCode::kInvalidArgument, "{}: expected one tensor or one named '{}', got {} others",
         file, name, tensors.size());
  }
  return {name, found->second};
}

std::vector<TensorMap> read_all(const Options& o, const CoreMLModelWrapper& model) {
  std::vector<TensorMap> predictions;
  predictions.reserve(o.inputs.size());
  for (const std::string& file : o.inputs) predictions.push_back(read_inputs(file, model));
  if (predictions.empty()) predictions.emplace_back();
  for (const std::string& text : o.named) {
    const auto [name, tensor] = read_named(text, model);
    for (TensorMap& prediction : predictions) prediction[name] = tensor;
  }
  return predictions;
}

void check_output(const Options& o) {
  if (o.output.empty()) return;
  expect_tensor_path("--output", o.output);
  std::vector<package::Needed> read = {{"MODEL", o.model.model},
                                       {"--adapter", o.model.load_options().adapter}};
  for (const std::string& file : o.inputs) read.push_back({"--inputs", file});
  for (const std::string& named : o.named) {
    const size_t equals = named.find('=');
    if (equals != std::string::npos) read.push_back({"--input", named.substr(equals + 1)});
  }
  package::expect_apart("--output", o.output, read);
}

void check_taps(const std::vector<std::string>& taps, const TensorMap& result) {
  for (const std::string& tap : taps) {
    const bool met = std::any_of(result.begin(), result.end(),
                                 [&](const auto& row) { return matches_glob(tap, row.first); });
    if (!met) {
      fail(ErrorCode::kInvalidArgument,
           "--tap {}: no value has such a name; `inspect --mil` shows the names", tap);
    }
  }
}

std::string key_of(const std::string& name, size_t index, size_t count) {
  return count > 1 ? fmt::format("{}.{}", index, name) : name;
}

void print_result(const std::vector<TensorMap>& results, const std::vector<double>& seconds,
                  const Options& o) {
  constexpr int64_t kShown = 8, kShownInJson = 16;
  if (o.json) {
    nlohmann::json rows = nlohmann::json::array();
    for (size_t i = 0; i < results.size(); ++i) {
      nlohmann::json outputs = nlohmann::json::object();
      for (const auto& [name, tensor] : results[i]) {
        outputs[name] = tensor_json(tensor, kShownInJson);
      }
      rows.push_back({{"outputs", outputs}, {"seconds", seconds[i]}});
    }
    nlohmann::json json = {{"predictions", rows}};
    if (!o.output.empty()) json["output"] = o.output;
    return print_json(json);
  }
  if (!o.output.empty()) return answer("wrote {}\n", printable(o.output));
  Table table("");
  for (size_t i = 0; i < results.size(); ++i) {
    for (const auto& [name, tensor] : results[i]) {
      table.row({key_of(name, i, results.size()), std::string(name_of(tensor.dtype())),
                 to_string(tensor.shape()), first_values(tensor, kShown)});
    }
  }
  answer("{}", table.str());
}

// One line to stderr: what is not a number may be a model's own answer, but is seldom meant.
void note_nan(const std::vector<TensorMap>& results) {
  std::string text;
  for (size_t i = 0; i < results.size(); ++i) {
    for (const auto& [name, tensor] : results[i]) {
      int64_t count = 0;
      if (!is_float(tensor.dtype())) continue;
      for (int64_t at = 0; at < tensor.count(); ++at) count += std::isnan(tensor.number_at(at));
      if (count == 0) continue;
      text += fmt::format("{} '{}' ({} of {} numbers)", text.empty() ? "" : ",",
                          key_of(name, i, results.size()), count, tensor.count());
    }
  }
  if (!text.empty()) inform("note: the model's own result holds NaN:{}\n", text);
}

// To stderr, so that what a pipe reads stays the same.
void print_profile(const exec::Profile& profile) {
  constexpr size_t kShown = 25;
  const double total = std::max(profile.seconds(), 1e-12), flops = std::max(profile.flops(), 1.0);
  Table table("  ");
  table.row({"kind", "op", "calls", "ms", "share", "GFLOP/s", "name"});
  for (size_t i = 0; i < std::min(kShown, profile.rows.size()); ++i) {
    const exec::ProfileRow& row = profile.rows[i];
    const double seconds = std::max(row.seconds, 1e-12);
    table.row({row.kind, row.op, fmt::format("{:>5}", row.calls),
               fmt::format("{:>8.3f}", row.seconds * 1e3),
               fmt::format("{:>4.1f} %", row.seconds / total * 100),
               row.flops > 0 ? fmt::format("{:>7.1f}", row.flops / seconds / 1e9) : "", row.name});
  }
  inform("\n{:.3f} ms in {} steps, {} bytes copied\n{}", profile.seconds() * 1e3,
         profile.rows.size(), profile.copied(), table.str());
  Table kinds("  ");
  for (const exec::ProfileRow& row : profile.by_kind()) {
    kinds.row({row.kind, fmt::format("{:>5}", row.calls),
               fmt::format("{:>8.3f} ms", row.seconds * 1e3),
               fmt::format("{:>4.1f} %", row.seconds / total * 100),
               fmt::format("{:>8.3f} GFLOP", row.flops / 1e9),
               fmt::format("{:>4.1f} %", row.flops / flops * 100),
               fmt::format("{:>10} bytes", row.copied)});
  }
  inform("by kind: calls, time, floating-point operations, bytes copied\n{}", kinds.str());
}

void print_passes(const std::vector<passes::Watch::Time>& times) {
  Table table("  ");
  for (const auto& time : times) {
    table.row({std::string(time.pass), fmt::format("{:>5}", time.calls),
               fmt::format("{:>8.3f} ms", time.seconds * 1e3)});
  }
  inform("passes: calls, time\n{}", table.str());
}

void run(const Options& o) {
  check_output(o);
  watch_interrupts();
  LoadOptions load_options = o.model.load_options();
  load_options.profile = o.profile;
  const CoreMLModelWrapper model = CoreMLModelWrapper::load(o.model.model, load_options);
  const Chosen chosen(o.only, o.taps, model);
  const std::vector<TensorMap> inputs = read_all(o, model);
  State state = model.make_state();
  std::vector<TensorMap> results;
  std::vector<double> seconds;
  Progress progress("run", static_cast<int64_t>(inputs.size()));
  for (size_t i = 0; i < inputs.size(); ++i) {
    stop_if_interrupted();
    const double started = now_seconds();
    results.push_back(
        in_context([&] { return i < o.inputs.size() ? o.inputs[i] : std::string("inputs"); },
                   [&] { return model.predict(inputs[i], &state, o.taps); }));
    seconds.push_back(now_seconds() - started);
    progress.update(static_cast<int64_t>(i) + 1);
  }
  stop_if_interrupted();
  check_taps(o.taps, results.front());
  for (TensorMap& result : results) chosen.keep_in(result);
  if (!o.output.empty()) {
    TensorMap all;
    for (size_t i = 0; i < results.size(); ++i) {
      for (const auto& [name, tensor] : results[i]) all[key_of(name, i, results.size())] = tensor;
    }
    save_tensors(o.output, std::move(all));
  }
  print_result(results, seconds, o);
  note_nan(results);
  if (o.profile) {
    print_profile(model.impl().session->profile());
    print_passes(model.impl().watch->times());
  }
}

}  // namespace

void add_run(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("run", "Run a model on tensors from files");
  options->model.add_to(*command, false);
  options->model.add_adapter_to(*command);
  command
      ->add_option("--inputs", options->inputs,
                   "a .safetensors or .npz file with one tensor per input; several are predictions "
                   "in order, states kept")
      ->take_all();
  command->add_option("--input", options->named, "NAME=FILE.npy: one input, for every prediction")
      ->take_all();
  command->add_option(
      "--output", options->output,
      "write the outputs to this .npz or .safetensors file (as K.NAME when there are several "
      "predictions)");
  command->add_option("--only", options->only, "the outputs to give, NAME,NAME (default: all)")
      ->delimiter(',')
      ->take_all();
  command->add_option("--tap", options->taps, "also give the values whose names match this glob")
      ->take_all();
  CLI::Option* json = command->add_flag("--json", options->json, "print JSON");
  command
      ->add_flag("--profile", options->profile,
                 "print the time of each step and of each pass before them")
      ->excludes(json);
  command->callback([options] { run(*options); });
}

}  // namespace mw::cli
