// Loss, gradients and update as operations behind the forward pass.
#include "train/composer.h"

#include <algorithm>
#include <limits>
#include <map>

#include "autodiff/gradient.h"
#include "base/error.h"
#include "base/glob.h"
#include "ops/loss/loss.h"
#include "ops/rewrites/head_loss.h"
#include "ops/rewrites/stable_logs.h"
#include "train/pipeline.h"

namespace mw::training {
namespace {

using ir::Value;
using ops::Expr;

bool has_model(Kind kind) { return kind != Kind::kApply; }

// Calls visit(value) for every value of a block and of those inside.
template <class Visit>
void for_each_value(const ir::Block& block, const Visit& visit) {
  for (const auto& argument : block.arguments) visit(*argument);
  for (const auto& op : block.ops) {
    for (const auto& output : op->outputs) visit(*output);
    for (const auto& nested : op->blocks) for_each_value(*nested, visit);
  }
}

}  // namespace

Composer::Composer(const Recipe& recipe, Kind kind, const Shapes& shapes)
    : recipe_(recipe), kind_(kind), shapes_(shapes) {}

void Composer::begin(ir::Function& function) {
  function_ = &function;
  b_.emplace(function.body, *recipe_.catalog, function.opset);
}

Value* Composer::argument(const std::string& name) const {
  Value* found = function_->find_argument(name);
  MW_CHECK(found != nullptr);
  return found;
}

Value* Composer::in_dtype(Value* value) {
  return value->type.dtype() == recipe_.dtype() ? value : ops::as(expr(value), recipe_.dtype());
}

// A value that has one of these names gives it up: callers find results by them. Arguments have
// none: what is added to a model goes by free names.
void Composer::add_results(const Results& results) {
  auto& outputs = function_->body.outputs;
  std::map<std::string, Value*> owners;
  for (const auto& [result, name] : results) {
    Value* value = result;
    // A result has a value of its own: one gradient may be that of two parameters.
    const bool taken = std::ranges::find(outputs, value) != outputs.end();
    if (value->producer == nullptr || taken) value = expr(value) * 1.0;
    outputs.push_back(value);
    owners[name] = value;
  }
  for_each_value(function_->body, [&](Value& value) {
    const auto owner = owners.find(value.name);
    if (owner == owners.end() || owner->second == &value) return;
    MW_CHECK(value.producer != nullptr || value.block != &function_->body);
    value.name = b_->fresh(value.name);
  });
  for (const auto& [name, value] : owners) value->name = name;
}

void Composer::find_target(ir::Function& function) {
  const auto target = [&] {
    return target_of(recipe_.target, output_named(function, recipe_.target, "model"),
                     *recipe_.catalog);
  };
  target_ = target();
  // The parts of the target stay what they are; the rest reads the logarithms that replace others.
  ops::stable_logs(function, *recipe_.catalog);
  if (recipe_.loss.loss == Loss::kMeanSquaredError || recipe_.loss.loss == Loss::kOutput) {
    target_ = target();
  }
}

void Composer::add_loss(ir::Function& function) {
  begin(function);
  const bool labelled = recipe_.loss.loss != Loss::kOutput;
  Value* labels = labelled ? argument(recipe_.names.of(kLabels)) : nullptr;
  const auto loss = loss_of(*b_, recipe_.loss, *target_, labels, recipe_.dtype());
  function.body.outputs.clear();
  add_results({{loss.sum, recipe_.names.of(kLossSum)}, {loss.count, recipe_.names.of(kCount)}});
  sum_ = function.body.outputs[0];
  count_ = function.body.outputs[1];
}

void Composer::add_divergence(ir::Function& function) {
  begin(function);
  const int64_t axis = *recipe_.loss.class_axis;
  Value* student = in_dtype(logits_of(*b_, *target_, axis));
  const auto divergence =
      ops::distillation_of(*b_, student, taught(student->type.shape()),
                           argument(recipe_.names.of(kLabels)), recipe_.temperature);
  const double weight = recipe_.alpha * recipe_.temperature * recipe_.temperature;
  sum_ = expr(sum_) * (1 - recipe_.alpha) + expr(divergence.sum) * weight;
  function.body.outputs.clear();
  add_results({{sum_, recipe_.names.of(kLossSum)}, {count_, recipe_.names.of(kCount)}});
}

void Composer::join_head(ir::Function& function) {
  std::vector<const Value*> wrt;
  if (kind_ != Kind::kEvaluate) {
    for (const auto& parameter : recipe_.lifted->parameters) {
      wrt.push_back(function.find_argument(parameter.state));
    }
  }
  if (kind_ == Kind::kGradients) {
    for (const std::string& name : recipe_.wrt_inputs) wrt.push_back(function.find_argument(name));
  }
  ops::join_head_and_loss(function, *recipe_.catalog, wrt);
  sum_ = function.body.outputs[0];
  count_ = function.body.outputs[1];
}

// In the shape of the student's logits, [.., classes].
ops::Taught Composer::taught(const Shape& student) {
  if (recipe_.teaching != Teaching::kInside) {
    const auto given = [&](const char* name) { return in_dtype(argument(recipe_.names.of(name))); };
    Value* rest = recipe_.teaching == Teaching::kTop ? given(kTeacherRest) : nullptr;
    return {given(kTeacherClasses), rest};
  }
  const Target theirs = target_of(recipe_.teacher_target, inlined_teacher(), *recipe_.catalog);
  std::optional<TeacherLayout> layout;
  if (recipe_.teacher_layout != nullptr) layout = recipe_.teacher_layout(shapes_);
  const auto& axis = recipe_.loss.class_axis;
  return {in_dtype(teacher_logits_of(*b_, theirs, student, axis, layout))};
}

Shapes Composer::shapes_of_teacher() const {
  Shapes shapes;
  for (const auto& argument : recipe_.teacher->body.arguments) {
    const auto found = shapes_.find(argument->name);
    if (found == shapes_.end()) {
      fail(ErrorCode::kInvalidArgument, "{}: expected inputs that the student has, too, got '{}'",
           setting("teacher"), argument->name);
    }
    shapes[argument->name] = found->second;
  }
  return shapes;
}

// The teacher's ops in this block, fed with the student's inputs of the same names.
Value* Composer::inlined_teacher() {
  const auto teacher = teacher_at(recipe_, shapes_of_teacher());
  ir::ValueMap map;
  for (const auto& argument_of_teacher : teacher->body.arguments) {
    map[argument_of_teacher.get()] = argument(argument_of_teacher->name);
  }
  for (const auto& op : teacher->body.ops) {
    name_as_teacher(*ir::clone_into(*op, function_->body, map));
  }
  return map.at(output_named(*teacher, recipe_.teacher_target, "teacher"));
}

void Composer::name_as_teacher(ir::Operation& op) {
  const auto rename = [&](Value& value) { value.name = b_->fresh("teacher_" + value.name); };
  for (const auto& output : op.outputs) rename(*output);
  for (const auto& block : op.blocks) for_each_value(*block, rename);
}

// The value that a state is read as.
Value* Composer::value_of(const Parameter& parameter) {
  Value* state = argument(parameter.state);
  for (const auto& op : function_->body.ops) {
    const ir::OpDef& def = recipe_.catalog->at(*op, function_->opset);
    if (def.has_trait(ir::kReadsState) && op->input("input") == state) {
      return op->outputs[0].get();
    }
  }
  return ops::read_parameter(*b_, state, parameter.name + "_value");
}

Value* Composer::sum_state(size_t i) const {
  return argument(recipe_.state_name(recipe_.lifted->parameters[i], kSum));
}

void Composer::add_gradients(ir::Function& function) {
  begin(function);
  if (!has_model(kind_)) {
    function.body.outputs.clear();
    count_ = in_dtype(argument(recipe_.names.of(kCount)));
  }
  for (const auto& parameter : recipe_.lifted->parameters) values_.push_back(value_of(parameter));
  std::vector<Value*> wrt = values_;
  Value* at_least_one = ops::maximum(expr(count_), 1.0);
  if (has_model(kind_)) {
    for (const std::string& name : recipe_.wrt_inputs) {
      if (kind_ == Kind::kGradients) wrt.push_back(argument(name));
    }
    Value* loss = sum_;
    if (kind_ != Kind::kAccumulate) loss = expr(sum_) / expr(at_least_one);
    gradients_ = autodiff::gradients(function, *recipe_.catalog, ops::gradient_ops(),
                                     {{loss, nullptr}}, wrt);
    begin(function);
  } else {
    for (size_t i = 0; i < values_.size(); ++i) {
      const Expr sum = ops::read_parameter(*b_, sum_state(i), kSum);
      gradients_.push_back(sum / expr(at_least_one));
    }
  }
  for (size_t i = 0; i < gradients_.size(); ++i) {
    if (gradients_[i] == nullptr) gradients_[i] = ops::filled(*b_, wrt[i]->type, 0);
  }
}

void Composer::return_gradients(ir::Function& function) {
  begin(function);
  const size_t count = recipe_.lifted->parameters.size();
  Results results;
  for (size_t i = 0; i < gradients_.size(); ++i) {
    const std::string name = i < count ? gradient_name(i) : input_gradient_name(i - count);
    results.emplace_back(expr(gradients_[i]) * 1.0, recipe_.names.of(name));
  }
  add_results(results);
}

void Composer::add_to_sums(ir::Function& function) {
  begin(function);
  for (size_t i = 0; i < gradients_.size(); ++i) {
    const Expr sum = ops::read_parameter(*b_, sum_state(i), kSum);
    ops::write_parameter(sum + expr(gradients_[i]), sum_state(i));
  }
}

double Composer::decay_of(const std::string& name, double& rate_factor) const {
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
Expr Composer::is_sound(const Expr& squares) {
  const double most = recipe_.dtype() == DType::kF64 ? std::numeric_limits<double>::max()
                                                     : std::numeric_limits<float>::max();
  const Expr norm_is = as_number(squares <= most, squares);
  if (!has_model(kind_)) return norm_is > 0.0;
  const Expr loss = expr(sum_), count = expr(count_);
  const Expr loss_is = as_number(loss >= -most, loss) * as_number(loss <= most, loss);
  return norm_is * loss_is * as_number(count > 0.0, count) > 0.0;
}

// The sum of their squares, and their norm as a result; then gradients of at most the norm that is
// wanted.
Expr Composer::clip() {
  Value* squares = nullptr;
  for (Value* gradient : gradients_) {
    const Expr part = ops::sum_of_squares(expr(gradient));
    squares = squares == nullptr ? part.value() : (expr(squares) + part).value();
  }
  const Expr norm = sqrt(expr(squares));
  if (recipe_.clip_norm > 0) {
    const Expr factor = ops::minimum(recipe_.clip_norm / (norm + 1e-6), 1.0);
    for (Value*& gradient : gradients_) gradient = expr(gradient) * factor;
  }
  add_results({{norm, recipe_.names.of(kNorm)}});
  return expr(squares);
}

void Composer::add_update(ir::Function& function) {
  begin(function);
  const auto& parameters = recipe_.lifted->parameters;
  const Expr sound = is_sound(clip());
  UpdateRule::Named numbers;
  for (const auto& number : recipe_.rule->numbers()) {
    numbers.emplace(number.name, expr(in_dtype(argument(recipe_.names.of(number.name)))));
  }
  const Expr rate = expr(in_dtype(argument(recipe_.names.of(kLearningRate))));
  for (size_t i = 0; i < parameters.size(); ++i) {
    double factor = 1;
    const double decay = decay_of(parameters[i].name, factor);
    const auto states = recipe_.rule->states(parameters[i].shape);
    UpdateRule::Named kept;
    for (const auto& state : states) {
      Value* cell = argument(recipe_.state_name(parameters[i], state.name));
      kept.emplace(state.name, ops::read_parameter(*b_, cell, state.name));
    }
    const auto updated =
        recipe_.rule->update({expr(values_[i]), expr(gradients_[i]),
                              factor == 1 ? rate : rate * factor, kept, numbers, decay});
    // All are computed before one is written, which lets one kernel do so.
    std::vector<std::pair<Expr, Value*>> written{
        {select(sound, updated.value, expr(values_[i])), argument(parameters[i].state)}};
    for (const auto& state : states) {
      written.emplace_back(select(sound, updated.states.at(state.name), kept.at(state.name)),
                           argument(recipe_.state_name(parameters[i], state.name)));
    }
    for (const auto& [value, state] : written) ops::write_parameter(value, state);
    if (kind_ == Kind::kApply) {
      ops::write_parameter(ops::filled(*b_, gradients_[i]->type, 0), sum_state(i));
    }
  }
}

}  // namespace mw::training
