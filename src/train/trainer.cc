// Trainer: a session per kind of program, made when it is first needed; all share the states.
#include "train/trainer.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/finite.h"
#include "base/tensor_memory.h"
#include "train/data.h"
#include "train/pipeline.h"

namespace mw::training {
namespace {

Shapes shapes_of(const TensorMap& batch) {
  Shapes shapes;
  for (const auto& [name, tensor] : batch) shapes[name] = tensor.shape();
  return shapes;
}

// Throws invalid_argument where a number of a step is not finite, with what an input holds.
void expect_finite(const char* what, double number, const TensorMap& batch) {
  if (std::isfinite(number)) return;
  std::string held;
  for (const auto& [name, tensor] : batch) {
    const auto at = first_not_finite(tensor);
    if (!at) continue;
    held += fmt::format("{}input '{}' holds {}", held.empty() ? ": " : ", ", name,
                        not_finite_text(tensor, *at));
  }
  fail(ErrorCode::kInvalidArgument, "expected a finite {}, got {}{}; the step has not happened{}",
       what, not_finite_text(number), held,
       held.empty() ? ": lower the learning rate or clip the gradients" : "");
}

// A result that is handed out: itself, where nobody else holds its memory.
Tensor given_away(Tensor& result) {
  return result.owner().use_count() == 1 ? std::move(result) : result.clone();
}

}  // namespace

Trainer::Trainer(const ir::Function& source, TrainerOptions options)
    : options_(std::move(options)), rule_(make_rule(options_.settings.optimizer)) {
  recipe_.catalog = options_.platform.catalog;
  recipe_.watch = options_.watch.get();
  if (!is_naive()) {
    recipe_.covers = [this](const ir::Operation& op) { return options_.platform.covers(op.type); };
  }
  Student student =
      student_of(source, options_.parameters, options_.numerics, recipe_.supervision());
  lifted_ = std::move(student.lifted);
  student_ = std::move(student.function);
  recipe_.lifted = &lifted_;
  recipe_.student = student_.get();
  recipe_.names = FreeNames(*student_);
  recipe_.target = options_.target;
  recipe_.loss = {options_.settings.loss, options_.settings.label_smoothing,
                  options_.settings.class_axis, options_.settings.pos_weight};
  recipe_.rule = rule_.get();
  recipe_.groups = options_.settings.groups;
  recipe_.clip_norm = options_.settings.clip_norm;
  recipe_.wrt_inputs = options_.settings.wrt_inputs;
  recipe_.numerics = options_.numerics;
  std::map<std::string, std::shared_ptr<ir::StateCell>> cells;
  for (size_t i = 0; i < lifted_.parameters.size(); ++i) {
    const Parameter& parameter = lifted_.parameters[i];
    auto cell = std::make_shared<ir::StateCell>();
    cell->value = std::move(lifted_.initial[i]);
    cells[parameter.state] = std::move(cell);
    for (const auto& state : rule_->states(parameter.shape)) {
      auto zeros = std::make_shared<ir::StateCell>();
      zeros->value = zeros_in_large_pages(recipe_.dtype(), state.shape);
      cells[recipe_.state_name(parameter, state.name)] = std::move(zeros);
    }
  }
  for (const auto& argument : student_->body.arguments) {
    if (!argument->type.is_state() || cells.contains(argument->name)) continue;
    auto zeros = std::make_shared<ir::StateCell>();
    zeros->value = Tensor(argument->type.dtype(), argument->type.shape());
    cells[argument->name] = std::move(zeros);
  }
  states_ = exec::States(std::move(cells));
}

void Trainer::take_texts(const TextCalls& calls) {
  if (text_) return;
  text_student_ = text_student_of(*student_, calls, recipe_.supervision());
  text_ = recipe_;
  text_->student = text_student_.get();
  text_->called = student_.get();
  text_->calls = &calls;
  text_->target = calls.target();
  text_->loss.class_axis = 2;
}

bool Trainer::is_text(const std::string& input) const {
  return text_ && input == text_->calls->text();
}

Trainer::Engine& Trainer::engine(const EngineKey& key) {
  Engine& engine = engines_[key];
  if (engine.session != nullptr) return engine;
  const Kind kind = key.kind;
  if (kind == Kind::kAccumulate || kind == Kind::kApply) {
    auto cells = states_.cells();
    for (const auto& parameter : lifted_.parameters) {
      auto& cell = cells[recipe_.state_name(parameter, kSum)];
      if (cell != nullptr) continue;
      cell = std::make_shared<ir::StateCell>();
      cell->value = zeros_in_large_pages(recipe_.dtype(), parameter.shape);
    }
    states_ = exec::States(std::move(cells));
  }
  const auto recipe_now = [this, key] {
    Recipe recipe = this->recipe(key.of_texts);
    recipe.teaching = key.teaching;
    return recipe;
  };
  engine.signature = signature_of(recipe_now(), kind);
  const auto specialiser = [kind, recipe_now,
                            signature = engine.signature.get()](const Shapes& shapes) {
    return compose(recipe_now(), *signature, kind, shapes);
  };
  exec::SessionOptions session;
  session.threads = options_.threads;
  session.naive = is_naive();
  session.files = options_.files;
  session.watch = options_.watch;
  limit_memory(kind, session);
  engine.session =
      std::make_unique<exec::Session>(*engine.signature, specialiser, options_.platform, session);
  return engine;
}

void Trainer::limit_memory(Kind kind, exec::SessionOptions& session) {
  const uint64_t limit = options_.settings.memory;
  if ((limit == 0 && !options_.settings.recompute) ||
      (kind != Kind::kStep && kind != Kind::kAccumulate && kind != Kind::kGradients)) {
    return;
  }
  if (session.naive && limit == 0) return;  // nothing is planned
  if (session.naive) {
    fail(ErrorCode::kInvalidArgument,
         "{}: expected no limit where a program is computed op by op (naive, or in fp64), got "
         "{} bytes",
         setting("memory"), limit);
  }
  session.plan_cache = 1;  // batches of other shapes take over the memory
  session.refine = [this, kind, limit](std::unique_ptr<ir::Function> function,
                                       const exec::Planner& planner) {
    if (kind == Kind::kAccumulate) {
      const Engine& update = engine({Kind::kApply});
      Shapes scalars;
      for (const auto& argument : update.signature->body.arguments) {
        if (argument->type.is_tensor()) scalars[argument->name] = {};
      }
      update.session->prepare(scalars);
    }
    return fitted(recipe_, *function, {limit, bytes_beside(kind)}, options_.platform, planner);
  };
}

uint64_t Trainer::bytes_beside(Kind kind) const {
  uint64_t bytes = 0;
  for (const auto& [name, cell] : states_.cells()) {
    bytes += static_cast<uint64_t>(cell->value.nbytes());
  }
  if (kind == Kind::kGradients) {
    for (const auto& parameter : lifted_.parameters) {
      bytes += static_cast<uint64_t>(cell(parameter.state).nbytes());
    }
  }
  const auto update = engines_.find({Kind::kApply});
  if (kind == Kind::kAccumulate && update != engines_.end() && update->second.session) {
    bytes += update->second.session->arena_bytes();
  }
  return bytes;
}

uint64_t Trainer::step_bytes() const {
  uint64_t largest = 0;
  for (const auto& [key, engine] : engines_) {
    const Kind kind = key.kind;
    if (kind != Kind::kStep && kind != Kind::kAccumulate && kind != Kind::kGradients) continue;
    if (engine.session == nullptr || engine.session->arena_bytes() == 0) continue;
    const uint64_t arena = engine.session->arena_bytes();
    largest = std::max(largest, arena + engine.session->weight_bytes_held() + bytes_beside(kind));
  }
  return largest;
}

// A model's own states (a cache) are empty at the beginning of every batch.
void Trainer::clear_model_states() {
  for (const auto& argument : student_->body.arguments) {
    if (!argument->type.is_state()) continue;
    const bool ours = std::any_of(lifted_.parameters.begin(), lifted_.parameters.end(),
                                  [&](const auto& p) { return p.state == argument->name; });
    if (!ours) cell(argument->name) = Tensor(argument->type.dtype(), argument->type.shape());
  }
}

// Whatever is thrown, the states are what they were. A plan writes them once nothing that comes can
// throw: ops that check what a run gives them belong to the model, and updates have none. Op by op
// memory may run out at any op, but there a write replaces the tensor of a state.
void Trainer::run(Kind kind, const TensorMap& inputs) {
  Engine& e = engine(key_of(kind, inputs));
  clear_model_states();
  last_ = &e.result;
  if (!is_naive()) return e.session->run_into(inputs, &states_, e.result);
  TensorMap before;
  for (const auto& [name, state] : states_.cells()) before[name] = state->value;
  try {
    e.session->run_into(inputs, &states_, e.result);
  } catch (...) {
    for (const auto& [name, state] : states_.cells()) state->value = before.at(name);
    throw;
  }
}

bool Trainer::is_naive() const {
  return options_.settings.naive || !options_.numerics.has_kernels();
}

double Trainer::number(const char* name) const {
  return last_->outputs.at(named(name)).tensor.number_at(0);
}

TensorMap Trainer::with_rates(TensorMap inputs) const {
  const double rate = double{rule_->learning_rate()} * options_.settings.schedule.factor(step_);
  inputs[named(kLearningRate)] = Tensor::scalar(static_cast<float>(rate));
  for (const auto& number : rule_->numbers()) {
    inputs[named(number.name)] = Tensor::scalar(static_cast<float>(number.at(step_ + 1)));
  }
  return inputs;
}

void Trainer::check_batch(const TensorMap& batch) const {
  for (const auto& [name, tensor] : batch) {
    if (name == kLabels || is_text(name) || student_->find_argument(name) != nullptr) continue;
    if (name == named(kTeacherClasses) || name == named(kTeacherRest)) continue;
    fail(ErrorCode::kInvalidArgument, "batch: unknown input '{}'", name);
  }
}

const Objective& Trainer::objective_at(const Shapes& shapes) {
  const auto found = objectives_.find(shapes);
  if (found != objectives_.end()) return found->second;
  Recipe& programs = has_text(shapes) ? *text_ : recipe_;
  Recipe recipe = programs;
  recipe.teaching = Teaching::kNone;
  Objective objective = objective_for(recipe, shapes);
  // The programs are of one class axis.
  if (objective.class_axis) programs.loss.class_axis = objective.class_axis;
  return objectives_.emplace(shapes, std::move(objective)).first->second;
}

Objective Trainer::objective(const TensorMap& batch) {
  check_batch(batch);
  return objective_for(recipe(has_text(batch)), shapes_of(batch));
}

TensorMap Trainer::labelled(const TensorMap& batch) {
  check_batch(batch);
  const auto labels = batch.find(kLabels);
  if (labels == batch.end() || recipe_.loss.loss == Loss::kOutput) return batch;
  const Objective& objective = objective_at(shapes_of(batch));
  for (int64_t i = 0; i < labels->second.count() && objective.classes > 0; ++i) {
    const int64_t label = labels->second.integer_at(i);
    if (label == kIgnoredLabel || (label >= 0 && label < objective.classes)) continue;
    fail(ErrorCode::kInvalidArgument, "labels: expected values in [0, {}) or {}, got {}",
         objective.classes, kIgnoredLabel, label);
  }
  expect_logits(batch, objective);
  TensorMap inputs = batch;
  inputs.erase(kLabels);
  inputs[named(kLabels)] = labels->second.reshaped(objective.labels);
  shape_teacher(inputs, objective);
  return inputs;
}

StepResult Trainer::finish(double loss, double count, double norm) {
  StepResult result;
  result.step = step_;
  result.loss = loss / std::max(count, 1.0);
  result.tokens = static_cast<int64_t>(count);
  result.grad_norm = norm;
  return result;
}

StepResult Trainer::step(const TensorMap& batch) {
  const TensorMap inputs = with_rates(labelled(batch));
  run(Kind::kStep, inputs);
  const double count = number(kCount);
  expect_finite("loss", number(kLossSum), batch);
  if (count == 0) fail_uncounted();
  expect_finite("norm of the gradients", number(kNorm), batch);
  ++step_;
  StepResult result = finish(number(kLossSum), count, number(kNorm));
  result.learning_rate = static_cast<float>(inputs.at(named(kLearningRate)).number_at(0));
  return result;
}

void Trainer::clear_sums() {
  for (const auto& parameter : lifted_.parameters) {
    const auto sum = states_.find(recipe_.state_name(parameter, kSum));
    if (sum != nullptr) sum->value = Tensor(recipe_.dtype(), parameter.shape);
  }
}

StepResult Trainer::step(int64_t count, const std::function<TensorMap(int64_t)>& batch) {
  if (count == 1) return step(batch(0));
  if (count < 1) fail(ErrorCode::kInvalidArgument, "training_step: expected a batch");
  double loss = 0, labels = 0;
  TensorMap inputs = with_rates({});
  try {
    for (int64_t i = 0; i < count; ++i) {
      const TensorMap one = labelled(batch(i));
      run(Kind::kAccumulate, one);
      expect_finite("loss", number(kLossSum), one);
      loss += number(kLossSum);
      labels += number(kCount);
    }
    if (labels == 0) fail_uncounted();
    inputs[named(kCount)] = Tensor::scalar(static_cast<float>(labels));
    run(Kind::kApply, inputs);
    expect_finite("norm of the gradients", number(kNorm), {});
  } catch (...) {
    clear_sums();
    throw;
  }
  ++step_;
  StepResult result = finish(loss, labels, number(kNorm));
  result.learning_rate = static_cast<float>(inputs.at(named(kLearningRate)).number_at(0));
  return result;
}

TensorMap Trainer::gradients(const TensorMap& batch, StepResult& result) {
  run(Kind::kGradients, labelled(batch));
  auto& outputs = last_->outputs;
  TensorMap named;
  double squares = 0;
  for (size_t i = 0; i < lifted_.parameters.size(); ++i) {
    Tensor& gradient = outputs.at(recipe_.names.of(gradient_name(i))).tensor;
    for (int64_t k = 0; k < gradient.count(); ++k) {
      squares += gradient.number_at(k) * gradient.number_at(k);
    }
    named[lifted_.parameters[i].name] = given_away(gradient);
  }
  for (size_t i = 0; i < recipe_.wrt_inputs.size(); ++i) {
    named["input." + recipe_.wrt_inputs[i]] =
        given_away(outputs.at(recipe_.names.of(input_gradient_name(i))).tensor);
  }
  result = finish(number(kLossSum), number(kCount), std::sqrt(squares));
  return named;
}

StepResult Trainer::evaluate(const TensorMap& batch) {
  run(Kind::kEvaluate, labelled(batch));
  return finish(number(kLossSum), number(kCount), 0);
}

TensorMap Trainer::forward(const TensorMap& inputs) {
  run(Kind::kForward, inputs);
  TensorMap outputs;
  for (auto& [name, datum] : last_->outputs) {
    if (!datum.list) {
      outputs[name] = given_away(datum.tensor);
    } else if (datum.list->size() == 2) {  // a dictionary, as CoreMLModelWrapper::predict() has it
      outputs[name + ".keys"] = (*datum.list)[0].clone();
      outputs[name] = (*datum.list)[1].clone();
    }
  }
  return outputs;
}

Tensor& Trainer::cell(const std::string& name) const { return states_.cells().at(name)->value; }

uint64_t Trainer::weight_bytes_held() const {
  uint64_t bytes = 0;
  for (const auto& [key, engine] : engines_) bytes += engine.session->weight_bytes_held();
  return bytes;
}

}  // namespace mw::training
