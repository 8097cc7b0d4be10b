// What a program of training takes, and what it minimises.
#include "train/program.h"

#include "base/error.h"
#include "base/printable.h"
#include "ops/reduce/classify.h"
#include "train/pipeline.h"

namespace mw::training {
namespace {

using ir::Function;
using ir::Value;

bool has_model(Kind kind) { return kind != Kind::kApply; }
bool updates(Kind kind) { return kind == Kind::kApply || kind == Kind::kStep; }

void add_state(Function& function, const std::string& name, DType dtype, const Shape& shape) {
  function.body.add_argument(name, ir::Type::state(ir::Type::tensor(dtype, shape)));
}

// The type of the target as the model declares it: extents that vary are not known.
ir::Type declared_target(const Recipe& recipe) {
  const Value* output = output_named(*recipe.student, recipe.target, "model");
  const auto classifier = ops::classifier_of(output, *recipe.catalog);
  return classifier ? classifier->probabilities->type : output->type;
}

Shape labels_shape(const Recipe& recipe) {
  Shape shape = declared_target(recipe).shape();
  if (recipe.loss.loss == Loss::kCrossEntropy) shape.erase(shape.begin() + *recipe.loss.class_axis);
  return shape;
}

void add_teacher(const Recipe& recipe, Function& function) {
  if (recipe.teaching != Teaching::kLogits && recipe.teaching != Teaching::kTop) return;
  Shape shape = labels_shape(recipe);
  const auto add = [&](const char* name) {
    function.body.add_argument(recipe.names.of(name), ir::Type::tensor(DType::kF32, shape));
  };
  if (recipe.teaching == Teaching::kTop) add(kTeacherRest);
  const Shape target = declared_target(recipe).shape();
  shape.push_back(target[static_cast<size_t>(*recipe.loss.class_axis)]);
  add(kTeacherClasses);
}

}  // namespace

std::string gradient_name(size_t parameter) { return fmt::format("grad_{}", parameter); }
std::string input_gradient_name(size_t input) { return fmt::format("grad_input_{}", input); }

FreeNames::FreeNames(const Function& model) {
  for (const auto& argument : model.body.arguments) taken_.insert(argument->name);
  ir::for_each_op(model.body, [&](const ir::Operation& op) {
    for (const auto& output : op.outputs) taken_.insert(output->name);
    for (const auto& block : op.blocks) {
      for (const auto& argument : block->arguments) taken_.insert(argument->name);
    }
  });
}

std::string FreeNames::of(const std::string& wanted) const {
  std::string name = wanted;
  for (int i = 0; taken_.contains(name); ++i) name = fmt::format("{}_{}", wanted, i);
  return name;
}

Objective objective_for(const Recipe& recipe, const Shapes& shapes) {
  const auto function = forward_at(recipe, *recipe.student, shapes);
  const Target target =
      target_of(recipe.target, output_named(*function, recipe.target, "model"), *recipe.catalog);
  const auto labels = shapes.find(kLabels);
  Objective objective =
      objective_of(recipe.loss, target, declared_target(recipe),
                   labels == shapes.end() ? std::nullopt : std::optional(labels->second));
  if (recipe.loss.label_smoothing > 0) {
    objective.text += fmt::format(", labels smoothed by {}", recipe.loss.label_smoothing);
  }
  if (recipe.teaching != Teaching::kNone) {
    objective.text = fmt::format(
        "{} x {}, and {} x divergence from '{}' of the teacher at temperature {}", 1 - recipe.alpha,
        objective.text, recipe.alpha, printable(recipe.teacher_target), recipe.temperature);
  }
  return objective;
}

std::unique_ptr<Function> signature_of(const Recipe& recipe, Kind kind) {
  std::unique_ptr<Function> function;
  if (has_model(kind)) {
    function = ir::clone(*recipe.student).function;
    if (kind == Kind::kForward) return function;
    if (recipe.loss.loss != Loss::kOutput) {
      if (function->find_argument(kLabels) != nullptr) {
        fail(ErrorCode::kInvalidArgument,
             "input 'labels': expected a model without an input of that name; make the loss an "
             "output of the model and train on it");
      }
      const bool classes = recipe.loss.loss == Loss::kCrossEntropy;
      function->body.add_argument(
          recipe.names.of(kLabels),
          ir::Type::tensor(classes ? DType::kI32 : DType::kF32, labels_shape(recipe)));
    }
    add_teacher(recipe, *function);
  } else {
    function = std::make_unique<Function>();
    function->name = recipe.student->name;
    function->opset = recipe.student->opset;
    for (const auto& parameter : recipe.lifted->parameters) {
      add_state(*function, parameter.state, recipe.dtype(), parameter.shape);
    }
    function->body.add_argument(recipe.names.of(kCount), ir::Type::scalar(DType::kF32));
  }
  if (updates(kind)) {
    function->body.add_argument(recipe.names.of(kLearningRate), ir::Type::scalar(DType::kF32));
    for (const auto& number : recipe.rule->numbers()) {
      function->body.add_argument(recipe.names.of(number.name), ir::Type::scalar(DType::kF32));
    }
  }
  for (const auto& parameter : recipe.lifted->parameters) {
    const auto add = [&](const std::string& state, const Shape& shape) {
      add_state(*function, recipe.state_name(parameter, state), recipe.dtype(), shape);
    };
    if (kind == Kind::kAccumulate || kind == Kind::kApply) add(kSum, parameter.shape);
    if (!updates(kind)) continue;
    for (const auto& state : recipe.rule->states(parameter.shape)) add(state.name, state.shape);
  }
  return function;
}

}  // namespace mw::training
