// millwright gradcheck MODEL: autodiff in fp64 against differences, a parameter at a time.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>

#include "api/impl.h"
#include "base/error.h"
#include "base/tensor_file.h"
#include "cli/command.h"
#include "cli/describe.h"
#include "cli/finite.h"
#include "cli/numbers.h"
#include "cli/print.h"
#include "cli/setting_options.h"
#include "lm/language_model.h"
#include "millwright/training.hpp"
#include "train/student.h"

namespace mw::cli {
namespace {

struct Options {
  std::string model, function, inputs;
  SettingOptions settings;
  int64_t directions = 2;
  double tolerance = 1e-6;
  uint64_t seed = 0;
  bool json = false;
};

struct Row {
  std::string name;
  Shape shape;
  double autodiff = 0, difference = 0, error = 0;  // of the worst direction
};

// The smallest shape that shows more than one of everything.
Shape small_shape(const FeatureDescription& input) {
  if (!input.enumerated.empty()) {
    return *std::min_element(
        input.enumerated.begin(), input.enumerated.end(),
        [](const Shape& a, const Shape& b) { return count_of(a) < count_of(b); });
  }
  Shape shape = input.shape;
  shape.resize(std::max(shape.size(), input.ranges.size()), -1);
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    const int64_t wanted = axis == 0 ? 2 : 5;
    if (axis < input.ranges.size()) {
      const auto [lower, upper] = input.ranges[axis];
      shape[axis] = std::max(wanted, lower);
      if (upper > 0) shape[axis] = std::min(shape[axis], upper);
    } else if (shape[axis] < 0) {
      shape[axis] = wanted;
    }
  }
  return shape;
}

Tensor random_tensor(DType dtype, const Shape& shape, int64_t below, std::mt19937_64& random) {
  Tensor tensor(dtype, shape);
  for (int64_t i = 0; i < tensor.count(); ++i) {
    if (is_float(dtype)) {
      tensor.set_number(i, static_cast<double>(random() >> 11) * 0x1p-52 - 1);
    } else {
      tensor.set_integer(i, static_cast<int64_t>(random() % static_cast<uint64_t>(below)));
    }
  }
  return tensor;
}

// Ids of a language model, and the masks it wants with them; else numbers for every input.
TensorMap random_inputs(const CoreMLModelWrapper& model, const std::string& target,
                        std::mt19937_64& random) {
  constexpr int64_t kFewIds = 10;  // that any vocabulary has
  TensorMap inputs;
  for (const FeatureDescription& input : model.inputs()) {
    if (input.optional) continue;
    const bool mask = input.name.find("mask") != std::string::npos;
    inputs[input.name] = random_tensor(input.dtype, small_shape(input), mask ? 1 : kFewIds, random);
    for (int64_t i = 0; mask && i < inputs[input.name].count(); ++i) {
      inputs[input.name].set_number(i, 1);
    }
  }
  if (inputs.size() == 1) return inputs;
  try {
    const lm::LanguageModel lm(model.impl(), target);
    return lm.inputs_for(inputs.at(lm.roles().ids_input().name));
  } catch (const Error&) {
    return inputs;  // no language model
  }
}

StudentOptions student_options(const CoreMLModelWrapper& model, const Options& o) {
  StudentOptions options;
  options.optimizer = Sgd{};
  o.settings.apply(options);
  if (o.settings.given("loss")) return options;
  const lm::Target target = model.impl().target(options.target);
  options.loss =
      target.is_logits || target.is_dictionary ? Loss::kCrossEntropy : Loss::kMeanSquaredError;
  return options;
}

TensorMap make_batch(const CoreMLModelWrapper& model, const StudentModel& student,
                     const StudentOptions& options, const Options& o, std::mt19937_64& random) {
  if (!o.inputs.empty()) return read_tensors(o.inputs);
  TensorMap batch = random_inputs(model, options.target, random);
  if (options.loss == Loss::kOutput) return batch;
  const training::Objective objective = student_of(student).objective_of_inputs(batch);
  if (options.loss == Loss::kCrossEntropy) {
    batch["labels"] = student_of(student).classes().labels_of(
        random_tensor(DType::kI32, objective.labels, objective.classes, random));
    return batch;
  }
  Tensor labels = random_tensor(DType::kF32, objective.labels, 0, random);
  for (int64_t i = 0; options.loss == Loss::kBinaryCrossEntropy && i < labels.count(); ++i) {
    labels.set_number(i, std::fabs(labels.number_at(i)));
  }
  batch["labels"] = labels;
  return batch;
}

class Checker {
 public:
  Checker(StudentModel& student, Batch batch)
      : student_(student), batch_(std::move(batch)), state_(student.state()) {
    gradients_ = student_.backward(batch_, &at_);
  }

  [[nodiscard]] const TensorMap& gradients() const { return gradients_; }
  [[nodiscard]] const StepResult& result() const { return at_; }

  // Along steps of random sign and the parameter's own size.
  Row check(const std::string& name, int64_t directions, double tolerance,
            std::mt19937_64& random) {
    const Tensor& value = state_.at(name);
    Row worst{name, value.shape()};
    worst.error = -1;
    for (int64_t k = 0; k < directions; ++k) {
      Tensor direction(DType::kF64, value.shape());
      double squares = 0, slope = 0, size = 0;
      for (int64_t i = 0; i < value.count(); ++i) {
        squares += value.number_at(i) * value.number_at(i);
      }
      const double rms =
          std::sqrt(squares / static_cast<double>(std::max<int64_t>(value.count(), 1)));
      for (int64_t i = 0; i < value.count(); ++i) {
        direction.set_number(i, (random() % 2 == 0 ? 1 : -1) * (rms > 0 ? rms : 1));
        const double part = gradients_.at(name).number_at(i) * direction.number_at(i);
        slope += part;
        size += part * part;
      }
      const Row row = compare(name, direction, slope, std::sqrt(size), tolerance);
      if (row.error > worst.error || std::isnan(row.error)) worst = row;
    }
    student_.set_parameter(name, value);
    return worst;
  }

 private:
  // A kink next to the point spoils a difference; a shorter step may miss it.
  Row compare(const std::string& name, const Tensor& direction, double slope, double size,
              double tolerance) {
    Row best;
    best.error = INFINITY;
    for (const double h : {1e-3, 1e-4, 1e-5}) {
      Row row{name, direction.shape(), slope};
      row.difference = (8 * (loss_at(name, direction, h) - loss_at(name, direction, -h)) -
                        (loss_at(name, direction, 2 * h) - loss_at(name, direction, -2 * h))) /
                       (12 * h);
      // Differences of the loss carry its rounding; products that cancel count by their size.
      const double floor = 1e-5 * std::max(std::fabs(at_.loss), 1e-3);
      const double scale =
          std::max({std::fabs(row.autodiff), std::fabs(row.difference), size, floor});
      row.error = std::fabs(row.autodiff - row.difference) / scale;
      if (std::isnan(row.error)) return row;
      if (row.error < best.error) best = row;
      if (best.error <= tolerance) break;
    }
    return best;
  }

  double loss_at(const std::string& name, const Tensor& direction, double h) {
    stop_if_interrupted();
    const Tensor& value = state_.at(name);
    Tensor moved(DType::kF64, value.shape());
    for (int64_t i = 0; i < value.count(); ++i) {
      moved.set_number(i, value.number_at(i) + h * direction.number_at(i));
    }
    student_.set_parameter(name, moved);
    return student_.evaluate(batch_).loss;
  }

  StudentModel& student_;
  Batch batch_;
  TensorMap state_, gradients_;
  StepResult at_;
};

void print_rows(const std::vector<Row>& rows, const Options& o, const StepResult& at, bool good) {
  if (o.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const Row& row : rows) {
      list.push_back({{"name", row.name},
                      {"shape", row.shape},
                      {"autodiff", row.autodiff},
                      {"difference", row.difference},
                      {"error", row.error}});
    }
    return print_json(
        {{"passed", good}, {"tolerance", o.tolerance}, {"loss", at.loss}, {"parameters", list}});
  }
  Table table("");
  table.row({"parameter", "shape", "autodiff", "differences", "error"});
  for (const Row& row : rows) {
    table.row({row.name, to_string(row.shape), fmt::format("{:13.6e}", row.autodiff),
               fmt::format("{:13.6e}", row.difference), fmt::format("{:.1e}", row.error)});
  }
  answer("{}", table.str());
  answer("{} parameters, loss {:.6f}: {} the tolerance of {:g}\n", rows.size(), at.loss,
         good ? "all within" : "the first is beyond", o.tolerance);
}

void run(const Options& o) {
  watch_interrupts();
  LoadOptions load;
  load.compute = Compute::kFp64;
  load.function = o.function;
  const CoreMLModelWrapper model = CoreMLModelWrapper::load(o.model, load);
  const StudentOptions options = student_options(model, o);
  StudentModel student(model, options);
  std::mt19937_64 random(o.seed);
  Checker checker(student, Batch(make_batch(model, student, options, o, random)));
  in_context([&] { return o.model; },
             [&] {
               expect_finite(checker.result());
               expect_labels(checker.result());
             });
  std::vector<Row> rows;
  Progress progress("gradcheck", static_cast<int64_t>(checker.gradients().size()));
  for (const auto& [name, gradient] : checker.gradients()) {
    rows.push_back(checker.check(name, o.directions, o.tolerance, random));
    progress.update(static_cast<int64_t>(rows.size()));
  }
  const auto key = [](const Row& row) { return std::isnan(row.error) ? INFINITY : row.error; };
  std::stable_sort(rows.begin(), rows.end(),
                   [&](const Row& a, const Row& b) { return key(a) > key(b); });
  const bool good = rows.empty() || key(rows.front()) <= o.tolerance;
  print_rows(rows, o, checker.result(), good);
  if (!good) throw CLI::RuntimeError(1);
}

}  // namespace

void add_gradcheck(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "gradcheck", "Compare gradients with differences in fp64; exit code 1 when they disagree");
  command
      ->add_option("model", options->model,
                   "a .mlmodelc or .mlpackage folder, a folder of parts, or an .mlmodel")
      ->required();
  command->add_option("--function", options->function, "function of a multi-function package");
  command->add_option("--inputs", options->inputs,
                      "a file with a tensor per input, and `labels` (default: small random ones)");
  options->settings.add_loss_to(*command);
  options->settings.option("loss").default_str("cross_entropy of logits and classifiers, else mse");
  command->add_option("--directions", options->directions, "random directions per parameter")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--tolerance", options->tolerance, "largest relative error")
      ->check(number_in(0.0, 1.0))
      ->capture_default_str();
  command->add_option("--seed", options->seed, "of inputs and directions")
      ->check(seed_number())
      ->capture_default_str();
  command->add_flag("--json", options->json, "print JSON");
  command->callback([options] { run(*options); });
}

}  // namespace mw::cli
