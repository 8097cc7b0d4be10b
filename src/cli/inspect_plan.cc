// millwright inspect --plan: the steps that a model, or a step of its training, becomes.
#include "cli/inspect_plan.h"

#include <algorithm>
#include <map>

#include "api/impl.h"
#include "base/error.h"
#include "base/tensor_file.h"
#include "cli/print.h"
#include "ir/text/text.h"
#include "lm/language_model.h"
#include "millwright/training.hpp"
#include "passes/pipeline.h"
#include "train/student.h"

namespace mw::cli {
namespace {

const std::map<std::string, training::Kind>& programs() {
  using training::Kind;
  static const std::map<std::string, Kind> kPrograms = {{"accumulate", Kind::kAccumulate},
                                                        {"apply", Kind::kApply},
                                                        {"evaluate", Kind::kEvaluate},
                                                        {"gradients", Kind::kGradients},
                                                        {"step", Kind::kStep}};
  return kPrograms;
}

std::string program_names() {
  std::string names;
  for (const auto& [name, kind] : programs()) names += (names.empty() ? "" : ", ") + name;
  return names;
}

// The shape that the file gives as the usual one.
Tensor usual(const FeatureDescription& input) {
  const bool known = std::all_of(input.shape.begin(), input.shape.end(),
                                 [](int64_t extent) { return extent >= 0; });
  if (!known) {
    fail(ErrorCode::kInvalidArgument,
         "input '{}': expected its extents, which the file leaves open as {}; use --inputs or "
         "--seq-len",
         input.name, to_string(input.shape));
  }
  return {input.dtype, input.shape};
}

}  // namespace

void PlanOptions::add_to(CLI::App& command) {
  CLI::Option* plan = command.add_flag(
      "--plan", wanted_, "print the plan: its buffers and steps, for no particular machine");
  command
      .add_option("--inputs", inputs_,
                  "a .safetensors or .npz file whose tensors have the shapes to plan for "
                  "(default: those that the model names)")
      ->needs(plan);
  command.add_option("--seq-len", seq_len_, "tokens per row of a language model to plan for")
      ->check(CLI::PositiveNumber)
      ->needs(plan);
  command.add_option("--batch-size", batch_size_, "rows of a language model to plan for")
      ->check(CLI::PositiveNumber)
      ->needs(plan);
  load_.add_load_to(command, [](const std::string& name) { return name == "print_after"; });
  load_.option("print_after").needs(plan);
  CLI::Option* program = command.add_option(
      "--program", program_, "the plan of this program of training: " + program_names());
  program->needs(plan);
  settings_.add_loss_to(command);
  settings_.add_to(command, [](const std::string& name) { return name == "optimizer"; });
  for (const char* name : {"loss", "target", "label_smoothing", "class_axis", "pos_weight",
                           "trainable", "optimizer"}) {
    settings_.option(name).needs(program);
  }
}

TensorMap PlanOptions::inputs_for(const CoreMLModelWrapper& model) const {
  if (!inputs_.empty()) return read_tensors(inputs_);
  if (seq_len_ > 0 || batch_size_ > 0) {
    const lm::LanguageModel lm(model.impl());
    const lm::CallShape shape = {std::max<int64_t>(batch_size_, 1),
                                 seq_len_ > 0 ? seq_len_ : lm.shapes().min_time()};
    if (!lm.shapes().allow(shape)) {
      fail(ErrorCode::kInvalidArgument, "expected {} tokens in at most {} rows, got {} in {}",
           lm.shapes().times_text(), lm.shapes().max_batch(), shape.time, shape.batch);
    }
    return lm.inputs_for(Tensor(DType::kI32, {shape.batch, shape.time}));
  }
  TensorMap inputs;
  for (const FeatureDescription& input : model.inputs()) {
    if (!input.optional) inputs[input.name] = usual(input);
  }
  return inputs;
}

std::string PlanOptions::plan_of(const CoreMLModelWrapper& model) const {
  const TensorMap inputs = inputs_for(model);
  if (program_.empty()) {
    Shapes shapes;
    for (const auto& [name, tensor] : model.impl().prepare(inputs)) shapes[name] = tensor.shape();
    return model.impl().session->plan_text(shapes);
  }
  const auto program = programs().find(program_);
  if (program == programs().end()) {
    fail(ErrorCode::kInvalidArgument, "--program: expected one of {}, got '{}'", program_names(),
         program_);
  }
  StudentOptions options;
  settings_.apply(options);
  const StudentModel student(model, options);
  return student_of(student).plan_text(program->second, inputs);
}

void PlanOptions::print(const std::string& path, const std::string& function, As as) const {
  LoadOptions load;
  load.function = function;
  load_.apply(load);
  const CoreMLModelWrapper model = CoreMLModelWrapper::load(path, load);
  std::string program;  // after the last pass
  if (as == As::kProgram) {
    auto& observer = model.impl().watch->observer;
    observer = [&program, before = observer](std::string_view pass, const ir::Function& after) {
      if (before) before(pass, after);
      program = ir::text::print(after);
    };
  }
  const std::string plan = in_context([&] { return path; }, [&] { return plan_of(model); });
  answer_bytes(as == As::kProgram ? program : plan);
}

}  // namespace mw::cli
