// compose(): the parts of a program of training, one after the other in one block.
#include "train/program.h"

#include <algorithm>
#include <limits>

#include "autodiff/gradient.h"
#include "base/error.h"
#include "base/glob.h"
#include "base/plain_name.h"
#include "base/printable.h"
#include "ops/loss/loss.h"
#include "ops/reduce/classify.h"
#include "ops/rewrites/stable_logs.h"
#include "passes/dead_code.h"
#include "passes/specialise.h"
#include "train/forward.h"

namespace mw::train {
namespace {

using ir::Function;
using ir::Value;
using ops::Expr;

bool has_model(Kind kind) { return kind != Kind::kApply; }
bool updates(Kind kind) { return kind == Kind::kApply || kind == Kind::kStep; }

class Composer {
 public:
  // `target` is that of the function; Kind::kApply has none.
  Composer(const Recipe& recipe, std::unique_ptr<Function> function, Kind kind,
           std::optional<Target> target)
      : recipe_(recipe),
        function_(std::move(function)),
        kind_(kind),
        target_(std::move(target)),
        b_(function_->body, *recipe.catalog, function_->opset) {}

  std::unique_ptr<Function> run(const Shapes& shapes) {
    if (has_model(kind_)) {
      loss(shapes);
      function_->body.outputs = {named(sum_, kLossSum), named(count_, kCount)};
    } else {
      function_->body.outputs.clear();
      count_ = in_dtype(argument(kCount));
    }
    if (kind_ != Kind::kEvaluate) backward();
    passes::remove_dead_ops(*function_, *recipe_.catalog);
    return std::move(function_);
  }

 private:
  Value* argument(const std::string& name) const {
    Value* found = function_->find_argument(name);
    MW_CHECK(found != nullptr);
    return found;
  }
  Expr expr(Value* value) { return {b_, value}; }
  static Value* named(Value* value, const std::string& name) {
    value->name = name;
    return value;
  }

  Value* in_dtype(Value* value) {
    return value->type.dtype() == recipe_.dtype ? value : ops::as(expr(value), recipe_.dtype);
  }

  void loss(const Shapes& shapes) {
    const bool labelled = recipe_.loss.loss != Loss::kOutput;
    Value* labels = labelled ? argument(kLabels) : nullptr;
    const auto value = loss_of(b_, recipe_.loss, *target_, labels, recipe_.dtype);
    sum_ = value.sum;
    count_ = value.count;
    if (recipe_.teacher != nullptr) sum_ = distilled(labels, value.sum, shapes);
  }

  Value* distilled(Value* labels, Value* alone, const Shapes& shapes) {
    const int64_t axis = *recipe_.loss.class_axis;
    Value* student = in_dtype(logits_of(b_, *target_, axis));
    const Target theirs = target_of(recipe_.teacher_target, inlined(shapes), *recipe_.catalog);
    std::optional<TeacherLayout> layout;
    if (recipe_.teacher_layout != nullptr) layout = recipe_.teacher_layout(shapes);
    Value* teacher = in_dtype(teacher_logits_of(b_, theirs, student->type.shape(), axis, layout));
    const auto divergence = ops::distillation_of(b_, student, teacher, labels, recipe_.temperature);
    const double weight = recipe_.alpha * recipe_.temperature * recipe_.temperature;
    return expr(alone) * (1 - recipe_.alpha) + expr(divergence.sum) * weight;
  }

  // The teacher's ops in this block, fed with the student's inputs of the same names.
  Value* inlined(const Shapes& shapes) {
    Shapes of_teacher;
    for (const auto& argument : recipe_.teacher->body.arguments) {
      const auto found = shapes.find(argument->name);
      if (found == shapes.end()) {
        std::string remedy;
        for (const auto& [name, shape] : shapes) {
          if (plain_name(name) != plain_name(argument->name)) continue;
          remedy = fmt::format("; converting it with {} {}={} gives it the student's name",
                               setting("rename"), argument->name, name);
        }
        fail(ErrorCode::kInvalidArgument,
             "{}: expected inputs that the student has, too, got '{}'{}", setting("teacher"),
             argument->name, remedy);
      }
      of_teacher[argument->name] = found->second;
    }
    const auto teacher =
        passes::specialise(*recipe_.teacher, *recipe_.catalog, {.shapes = of_teacher});
    ir::ValueMap map;
    for (const auto& argument_of_teacher : teacher->body.arguments) {
      map[argument_of_teacher.get()] = argument(argument_of_teacher->name);
    }
    for (const auto& op : teacher->body.ops) {
      ir::Operation* copy = ir::clone_into(*op, function_->body, map);
      prefix(*copy);
    }
    return map.at(output_named(*teacher, recipe_.teacher_target, "teacher"));
  }

  static void prefix(ir::Operation& op) {
    for (const auto& output : op.outputs) output->name = "teacher_" + output->name;
    for (const auto& block : op.blocks) {
      for (const auto& argument : block->arguments) argument->name = "teacher_" + argument->name;
      for (const auto& nested : block->ops) prefix(*nested);
    }
  }

  // The value that a state is read as.
  Value* value_of(const Parameter& parameter) {
    Value* state = argument(parameter.state);
    for (const auto& op : function_->body.ops) {
      const ir::OpDef& def = recipe_.catalog->at(*op, function_->opset);
      if (def.has_trait(ir::kReadsState) && op->input("input") == state) {
        return op->outputs[0].get();
      }
    }
    return ops::read_parameter(b_, state, parameter.name + "_value");
  }

  void backward() {
    std::vector<Value*> values, wrt;
    for (const auto& parameter : recipe_.lifted->parameters) values.push_back(value_of(parameter));
    std::vector<Value*> gradients(values.size(), nullptr);
    Value* at_least_one = ops::maximum(expr(count_), 1.0);
    if (has_model(kind_)) {
      wrt = values;
      for (const std::string& name : recipe_.wrt_inputs) {
        if (kind_ == Kind::kGradients) wrt.push_back(argument(name));
      }
      Value* loss = sum_;
      if (kind_ != Kind::kAccumulate) loss = expr(sum_) / expr(at_least_one);
      gradients = autodiff::gradients(*function_, *recipe_.catalog, ops::gradient_ops(),
                                      {{loss, nullptr}}, wrt);
    } else {
      for (size_t i = 0; i < values.size(); ++i) {
        const Expr sum = ops::read_parameter(b_, sum_state(i), "sum");
        gradients[i] = sum / expr(at_least_one);
      }
    }
    for (size_t i = 0; i < gradients.size(); ++i) {
      Value* like = has_model(kind_) ? wrt[i] : values[i];
      if (gradients[i] == nullptr) gradients[i] = ops::filled(b_, like->type, 0);
    }
    if (kind_ == Kind::kGradients) return give(gradients);
    if (kind_ == Kind::kAccumulate) return accumulate(gradients);
    update(values, gradients);
  }

  Value* sum_state(size_t i) const {
    return argument(state_name(recipe_.lifted->parameters[i], "sum"));
  }

  void give(const std::vector<Value*>& gradients) {
    const size_t count = recipe_.lifted->parameters.size();
    for (size_t i = 0; i < gradients.size(); ++i) {
      // An output has a value of its own: one gradient may be that of two parameters.
      const Expr copy = expr(gradients[i]) * 1.0;
      function_->body.outputs.push_back(
          named(copy, i < count ? gradient_name(i) : input_gradient_name(i - count)));
    }
  }

  void accumulate(const std::vector<Value*>& gradients) {
    for (size_t i = 0; i < gradients.size(); ++i) {
      const Expr sum = ops::read_parameter(b_, sum_state(i), "sum");
      ops::write_parameter(sum + expr(gradients[i]), sum_state(i));
    }
  }

  double decay_of(const std::string& name, double& rate_factor) const {
    double decay = recipe_.rule->weight_decay();
    rate_factor = 1;
    for (const ParameterGroup& group : recipe_.groups) {
      if (!matches_glob(group.glob, name)) continue;
      rate_factor = group.learning_rate_factor;
      decay = group.weight_decay ? *group.weight_decay : recipe_.rule->weight_decay();
    }
    return decay;
  }

  // Whether loss and gradients are finite and a label counts. Without that nothing is updated, and
  // the trainer refuses the step.
  Expr is_sound(const Expr& squares) {
    const double most = recipe_.dtype == DType::kF64 ? std::numeric_limits<double>::max()
                                                     : std::numeric_limits<float>::max();
    const Expr norm_is = as_number(squares <= most, squares);
    if (!has_model(kind_)) return norm_is > 0.0;
    const Expr loss = expr(sum_), count = expr(count_);
    const Expr loss_is = as_number(loss >= -most, loss) * as_number(loss <= most, loss);
    return norm_is * loss_is * as_number(count > 0.0, count) > 0.0;
  }

  void update(const std::vector<Value*>& values, std::vector<Value*> gradients) {
    const auto& parameters = recipe_.lifted->parameters;
    Value* squares = nullptr;
    for (Value* gradient : gradients) {
      const Expr part = ops::sum_of_squares(expr(gradient));
      squares = squares == nullptr ? part.value() : (expr(squares) + part).value();
    }
    const Expr norm = sqrt(expr(squares));
    if (recipe_.clip_norm > 0) {
      const Expr factor = ops::minimum(recipe_.clip_norm / (norm + 1e-6), 1.0);
      for (Value*& gradient : gradients) gradient = expr(gradient) * factor;
    }
    const Expr sound = is_sound(expr(squares));
    const auto write = [&](const Expr& updated, const Expr& before, Value* state) {
      ops::write_parameter(select(sound, updated, before), state);
    };
    UpdateRule::Named numbers;
    for (const auto& number : recipe_.rule->numbers()) {
      numbers.emplace(number.name, expr(in_dtype(argument(number.name))));
    }
    const Expr rate = expr(in_dtype(argument(kLearningRate)));
    for (size_t i = 0; i < parameters.size(); ++i) {
      double factor = 1;
      const double decay = decay_of(parameters[i].name, factor);
      const auto states = recipe_.rule->states(parameters[i].shape);
      UpdateRule::Named kept;
      for (const auto& state : states) {
        Value* cell = argument(state_name(parameters[i], state.name));
        kept.emplace(state.name, ops::read_parameter(b_, cell, state.name));
      }
      const auto updated =
          recipe_.rule->update({expr(values[i]), expr(gradients[i]),
                                factor == 1 ? rate : rate * factor, kept, numbers, decay});
      write(updated.value, expr(values[i]), argument(parameters[i].state));
      for (const auto& state : states) {
        write(updated.states.at(state.name), kept.at(state.name),
              argument(state_name(parameters[i], state.name)));
      }
      if (kind_ == Kind::kApply) {
        ops::write_parameter(ops::filled(b_, gradients[i]->type, 0), sum_state(i));
      }
    }
    function_->body.outputs.push_back(named(norm, kNorm));
  }

  const Recipe& recipe_;
  std::unique_ptr<Function> function_;
  Kind kind_;
  std::optional<Target> target_;
  ir::Builder b_;
  Value *sum_ = nullptr, *count_ = nullptr;
};

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

}  // namespace

std::string gradient_name(size_t parameter) { return fmt::format("grad_{}", parameter); }
std::string input_gradient_name(size_t input) { return fmt::format("grad_input_{}", input); }
std::string state_name(const Parameter& parameter, const std::string& kept) {
  return parameter.name + "_" + kept;
}

Objective objective_for(const Recipe& recipe, const Shapes& shapes) {
  const auto function = forward_at(*recipe.student, *recipe.catalog, shapes);
  const Target target =
      target_of(recipe.target, output_named(*function, recipe.target, "model"), *recipe.catalog);
  const auto labels = shapes.find(kLabels);
  Objective objective =
      objective_of(recipe.loss, target, declared_target(recipe),
                   labels == shapes.end() ? std::nullopt : std::optional(labels->second));
  if (recipe.loss.label_smoothing > 0) {
    objective.text += fmt::format(", labels smoothed by {}", recipe.loss.label_smoothing);
  }
  if (recipe.teacher != nullptr) {
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
          kLabels, ir::Type::tensor(classes ? DType::kI32 : DType::kF32, labels_shape(recipe)));
    }
  } else {
    function = std::make_unique<Function>();
    function->name = recipe.student->name;
    function->opset = recipe.student->opset;
    for (const auto& parameter : recipe.lifted->parameters) {
      add_state(*function, parameter.state, recipe.dtype, parameter.shape);
    }
    function->body.add_argument(kCount, ir::Type::scalar(DType::kF32));
  }
  if (updates(kind)) {
    function->body.add_argument(kLearningRate, ir::Type::scalar(DType::kF32));
    for (const auto& number : recipe.rule->numbers()) {
      function->body.add_argument(number.name, ir::Type::scalar(DType::kF32));
    }
  }
  for (const auto& parameter : recipe.lifted->parameters) {
    const auto add = [&](const std::string& state, const Shape& shape) {
      add_state(*function, state_name(parameter, state), recipe.dtype, shape);
    };
    if (kind == Kind::kAccumulate || kind == Kind::kApply) add("sum", parameter.shape);
    if (!updates(kind)) continue;
    for (const auto& state : recipe.rule->states(parameter.shape)) add(state.name, state.shape);
  }
  return function;
}

std::unique_ptr<Function> compose(const Recipe& recipe, const Function& signature, Kind kind,
                                  const Shapes& shapes) {
  if (kind == Kind::kForward)
    return passes::specialise(signature, *recipe.catalog, {.shapes = shapes});
  if (!has_model(kind)) {
    auto function = passes::specialise(signature, *recipe.catalog, {.shapes = shapes});
    return Composer(recipe, std::move(function), kind, std::nullopt).run(shapes);
  }
  auto function = forward_at(signature, *recipe.catalog, shapes);
  Target target =
      target_of(recipe.target, output_named(*function, recipe.target, "model"), *recipe.catalog);
  // The parts of the target stay what they are; the rest reads the logarithms that replace others.
  ops::stable_logs(*function, *recipe.catalog);
  if (recipe.loss.loss == Loss::kMeanSquaredError || recipe.loss.loss == Loss::kOutput) {
    target =
        target_of(recipe.target, output_named(*function, recipe.target, "model"), *recipe.catalog);
  }
  return Composer(recipe, std::move(function), kind, std::move(target)).run(shapes);
}

}  // namespace mw::train
