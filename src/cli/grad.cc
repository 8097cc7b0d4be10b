// millwright grad MODEL --inputs FILE --output FILE: gradients of the loss by every parameter.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/printable.h"
#include "base/tensor_file.h"
#include "cli/command.h"
#include "cli/describe.h"
#include "cli/finite.h"
#include "cli/print.h"
#include "cli/results.h"
#include "cli/setting_options.h"
#include "millwright/training.hpp"
#include "package/apart.h"

namespace mw::cli {
namespace {

struct Options {
  ModelOptions model;
  SettingOptions settings;
  std::string inputs, output;
  bool wrt_inputs = false, json = false;
};

TensorMap read_batch(const Options& o, const CoreMLModelWrapper& model) {
  TensorMap tensors = read_tensors(o.inputs);
  const auto inputs = model.inputs();
  std::string names;
  for (const auto& input : inputs) names += input.name + ", ";
  for (const auto& [name, tensor] : tensors) {
    if (name == "labels" ||
        std::any_of(inputs.begin(), inputs.end(),
                    [&, &key = name](auto& input) { return input.name == key; })) {
      continue;
    }
    fail(ErrorCode::kInvalidArgument, "{}: '{}' is no input of the model, which takes {}labels",
         o.inputs, name, names);
  }
  return tensors;
}

double norm_of(const Tensor& tensor) {
  double squares = 0;
  for (int64_t i = 0; i < tensor.count(); ++i) {
    squares += tensor.number_at(i) * tensor.number_at(i);
  }
  return std::sqrt(squares);
}

void print_result(const Options& o, const std::string& objective, const StepResult& result,
                  const TensorMap& gradients) {
  if (o.json) {
    nlohmann::json rows = nlohmann::json::object();
    for (const auto& [name, gradient] : gradients) {
      rows[name] = {{"shape", gradient.shape()}, {"norm", norm_of(gradient)}};
    }
    return print_json({{"loss", result.loss},
                       {"minimises", objective},
                       {"labels", result.tokens},
                       {"grad_norm", result.grad_norm},
                       {"gradients", rows},
                       {"output", o.output}});
  }
  Table table("  ");
  table.row({"gradient", "shape", "norm"});
  for (const auto& [name, gradient] : gradients) {
    table.row({name, to_string(gradient.shape()), fmt::format("{:.6g}", norm_of(gradient))});
  }
  answer("minimises  {}\nloss       {:.6f}\nlabels     {}\ngrad norm  {:.6g}\n{}wrote {}\n",
         objective, result.loss, with_commas(result.tokens), result.grad_norm, table.str(),
         printable(o.output));
}

void run(const Options& o) {
  expect_tensor_path("--output", o.output);
  package::expect_apart("--output", o.output,
                        {{"--inputs", o.inputs},
                         {"MODEL", o.model.model},
                         {"--adapter", o.model.load_options().adapter}});
  const CoreMLModelWrapper model = o.model.load();
  const TensorMap batch = read_batch(o, model);
  StudentOptions options;
  o.settings.apply(options);
  options.naive = o.model.load_options().naive;
  for (const FeatureDescription& input : model.inputs()) {
    if (o.wrt_inputs && is_float(input.dtype)) options.wrt_inputs.push_back(input.name);
  }
  if (o.wrt_inputs && options.wrt_inputs.empty()) {
    fail(ErrorCode::kInvalidArgument, "--wrt-inputs: the model has no input of floats");
  }
  StudentModel student(model, options);
  StepResult result;
  const TensorMap named = in_context([&] { return o.inputs; },
                                     [&] {
                                       auto gradients = student.backward(Batch(batch), &result);
                                       expect_finite(result);
                                       expect_labels(result);
                                       return gradients;
                                     });
  TensorMap gradients;
  for (const auto& [name, gradient] : named) {
    const bool of_input = o.wrt_inputs && name.starts_with("input.");
    gradients[of_input ? "grad_" + name : "grad." + name] = gradient;
  }
  TensorMap all = gradients;
  all["loss"] = Tensor::scalar(static_cast<float>(result.loss));
  if (o.model.load_options().compute == Compute::kFp64) all["loss"] = Tensor::scalar(result.loss);
  save_tensors(o.output, std::move(all));
  print_result(o, student.objective(Batch(batch)), result, gradients);
}

}  // namespace

void add_grad(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("grad", "Gradients of the loss with respect to every parameter");
  options->model.add_to(*command, false);
  command
      ->add_option("--inputs", options->inputs,
                   "a .safetensors or .npz file with a tensor per input, and `labels`")
      ->required();
  command
      ->add_option("--output", options->output,
                   "the .npz or .safetensors file to write: loss, grad.NAME, grad_input.NAME")
      ->required();
  options->settings.add_loss_to(*command);
  command->add_flag("--wrt-inputs", options->wrt_inputs,
                    "also with respect to the inputs of floats");
  command->add_flag("--json", options->json, "print JSON");
  command->callback([options] { run(*options); });
}

}  // namespace mw::cli
