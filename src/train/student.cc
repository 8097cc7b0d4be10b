// Student: checks of what is asked for together, and what becomes of a batch.
#include "train/student.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/plain_name.h"
#include "ir/names.h"
#include "train/data.h"
#include "train/settings.h"
#include "train/teacher.h"

namespace mw::training {
namespace {

void check_differentiable_inputs(const ir::Function& function,
                                 const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const ir::Value* argument = function.find_argument(name);
    if (argument != nullptr && argument->type.is_tensor() && is_float(argument->type.dtype())) {
      continue;
    }
    fail(ErrorCode::kInvalidArgument, "{}: '{}': expected an input of floats",
         setting("wrt_inputs"), name);
  }
}

// What is allowed for each of them alone, the settings themselves say.
void check_together(const StudentOptions& options) {
  check(options);
  const auto only_with = [](bool given, bool fits, const char* name, const char* loss) {
    if (!given || fits) return;
    fail(ErrorCode::kInvalidArgument, "{}: expected {} as the loss beside it, got another",
         setting(name), loss);
  };
  const bool classes = options.loss == Loss::kCrossEntropy;
  const bool binary = options.loss == Loss::kBinaryCrossEntropy;
  only_with(options.label_smoothing > 0, classes, "label_smoothing", "cross entropy");
  only_with(options.class_axis.has_value(), classes || binary, "class_axis", "cross entropy");
  only_with(!options.pos_weight.empty(), binary, "pos_weight", "binary cross entropy");
  const Schedule& schedule = options.schedule;
  const bool ends =
      schedule.kind == Schedule::Kind::kLinear || schedule.kind == Schedule::Kind::kCosine;
  if (ends && schedule.total_steps <= 0) {
    fail(ErrorCode::kInvalidArgument,
         "{}: expected the step at which the rate reaches its end, got {}", setting("total_steps"),
         schedule.total_steps);
  }
}

const StudentOptions& checked(const StudentOptions& options) {
  check_together(options);
  return options;
}

bool is_text(const TensorMap& inputs) {
  return inputs.size() == 1 && plain_name(inputs.begin()->first) == "inputids";
}

}  // namespace

// A model that makes the loss itself may have labels among its inputs.
Student::Student(const StudentSource& source, const StudentOptions& options)
    : model_(source.model),
      options_(checked(options)),
      numerics_(source.numerics),
      takes_labels_(options.loss == Loss::kOutput &&
                    source.function.find_argument(kLabels) != nullptr) {
  in_model([&] {
    const lm::Target target = model_.target(options.target);
    form_ = Form(model_, source.function, options.target, target);
    select_parameters(source);
    check_differentiable_inputs(source.function, options.wrt_inputs);
    classes_ = ClassLabels(target.value);
    TrainerOptions t;
    t.settings = options;
    t.target = form_.target();
    t.parameters = selection_.trained;
    t.platform = source.platform;
    t.threads = source.threads;
    t.numerics = source.numerics;
    t.watch = source.watch;
    t.files = source.files;
    trainer_ = std::make_unique<Trainer>(adapters_->function(), std::move(t));
    check_groups(options.groups, trainer_->parameters());
  });
}

Student::~Student() = default;

// With adapters, "*" takes nothing beside them.
void Student::select_parameters(const StudentSource& source) {
  const ir::Function& function = form_.function();
  const bool adapted = options_.lora.has_value();
  const bool nothing = adapted && options_.trainable == std::vector<std::string>{"*"};
  selection_ = select(function, nothing ? std::vector<std::string>() : options_.trainable,
                      options_.last_layers);
  if (adapted) {
    adapters_.emplace(function, *options_.lora, options_.last_layers, selection_,
                      source.watch.get());
  } else {
    adapters_.emplace(function);
  }
}

std::optional<Tensor> Student::take_labels(TensorMap& inputs) const {
  const auto found = inputs.find(kLabels);
  if (found == inputs.end() || takes_labels_) return std::nullopt;
  return inputs.extract(found).mapped();
}

TensorMap Student::prepared_inputs(const TensorMap& inputs) const {
  if (!is_text(inputs)) return model_.prepare(inputs);
  const Tensor& ids = inputs.begin()->second;
  if (!takes_calls(ids.shape())) {
    if (options_.tbptt > 0 && options_.tbptt < ids.shape().back()) fail_uncut(ids.shape().back());
    return model_.prepare(language().inputs_for(ids));
  }
  if (!calls_) {
    const bool parts = language().entry().target().parts.size() > 1;
    calls_.emplace(language(), ir::Names(form_.function().body).fresh("text"),
                   parts ? "logits" : language().output(), numerics_.values, options_.tbptt);
  }
  trainer_->take_texts(*calls_);
  return {{calls_->text(), lm::rows_of(ids).to(DType::kI32)}};
}

void Student::fail_uncut(int64_t time) const {
  fail(ErrorCode::kInvalidArgument,
       "{} {}: the model takes {} tokens in one call; only between calls, at its cache, can the "
       "backward pass be cut",
       setting("tbptt"), options_.tbptt, time);
}

const lm::LanguageModel& Student::language() const {
  if (!language_) language_.emplace(model_, options_.target);
  return *language_;
}

bool Student::takes_calls(const Shape& ids) const {
  if (!language().has_cache() || ids.empty()) return false;
  const lm::CallShape call = {ids.size() == 1 ? 1 : ids[0], ids.back()};
  if (language().shapes().allow(call)) return language().entry().last_only(call);
  if (call.batch == 1) return true;
  fail(ErrorCode::kInvalidArgument,
       "input_ids: a text that takes several calls is trained on row by row: expected a batch of "
       "1, got {}",
       call.batch);
}

TensorMap Student::prepared(const TensorMap& batch) {
  TensorMap given = batch;
  const std::optional<Tensor> labels = take_labels(given);
  if (!labels && options_.loss != Loss::kOutput) {
    fail(ErrorCode::kInvalidArgument, "batch: expected labels beside the inputs");
  }
  TensorMap inputs = prepared_inputs(given);
  if (labels) {
    Tensor checked = labels_of(*labels);
    const Shape ids = is_text(given) ? given.begin()->second.shape() : Shape();
    if (is_text(given) && checked.shape() == ids) {
      checked = takes_calls(ids) ? lm::rows_of(checked) : label_form(ids).of(checked);
    }
    inputs[kLabels] = std::move(checked);
  }
  return inputs;
}

const lm::LanguageModel::LabelForm& Student::label_form(const Shape& ids) {
  const auto known = label_forms_.find(ids);
  if (known != label_forms_.end()) return known->second;
  const lm::CallShape call = {ids.size() == 1 ? 1 : ids[0], ids.back()};
  return label_forms_[ids] = language().label_form(call);
}

Tensor Student::labels_of(const Tensor& labels) const {
  if (options_.loss == Loss::kCrossEntropy) return classes_.indices_of(labels);
  if (labels.dtype() == DType::kString) {
    fail(ErrorCode::kInvalidArgument, "labels: expected numbers, got names");
  }
  Tensor numbers = labels.to(DType::kF32);
  const bool binary = options_.loss == Loss::kBinaryCrossEntropy;
  for (int64_t i = 0; i < labels.count(); ++i) {
    const double label = numbers.number_at(i);
    if (!binary && std::isfinite(label)) continue;
    if (!binary) {
      fail(ErrorCode::kInvalidArgument, "labels: expected finite numbers, got {}",
           labels.number_at(i));
    }
    if ((label >= 0 && label <= 1) || label == kIgnoredLabel) continue;
    fail(ErrorCode::kInvalidArgument, "labels: expected numbers from 0 to 1 or {}, got {}",
         kIgnoredLabel, label);
  }
  return numbers;
}

StepResult Student::step(const TensorMap& batch) {
  return in_model([&] { return trainer_->step(taught(batch)); });
}
StepResult Student::step(int64_t count, const std::function<TensorMap(int64_t)>& batch) {
  return in_model(
      [&] { return trainer_->step(count, [&](int64_t i) { return taught(batch(i)); }); });
}
TensorMap Student::gradients(const TensorMap& batch, StepResult& result) {
  return in_model([&] { return trainer_->gradients(taught(batch), result); });
}
StepResult Student::evaluate(const TensorMap& batch) {
  return in_model([&] { return trainer_->evaluate(prepared(batch)); });
}
std::string Student::objective(const TensorMap& batch) {
  return in_model([&] { return trainer_->objective(prepared(batch)).text; });
}
Objective Student::objective_of_inputs(const TensorMap& inputs) {
  return trainer_->objective(model_.prepare(inputs));
}
TensorMap Student::predict(const TensorMap& inputs) {
  TensorMap outputs = in_model([&] { return trainer_->forward(model_.prepare(inputs)); });
  if (form_.is_joined()) outputs.erase(form_.target());
  return outputs;
}

std::string Student::first_nonfinite(const TensorMap& batch) const {
  TensorMap inputs = batch;
  (void)take_labels(inputs);
  return trainer_->first_nonfinite(prepared_inputs(inputs));
}

std::string Student::plan_text(Kind program, const TensorMap& batch) const {
  TensorMap inputs = batch;
  const std::optional<Tensor> labels = take_labels(inputs);
  Shapes shapes;
  for (const auto& [name, tensor] : prepared_inputs(inputs)) shapes[name] = tensor.shape();
  if (labels) shapes[kLabels] = labels->shape();
  return trainer_->plan_text(program, std::move(shapes));
}

const Parameter& Student::trained(const std::string& name) const {
  for (const Parameter& parameter : trainer_->parameters()) {
    if (parameter.name == name) return parameter;
  }
  fail(ErrorCode::kInvalidArgument, "parameter '{}': expected one that is trained", name);
}

const StudentAdapters& Student::lora() const {
  if (adapters_->empty()) {
    fail(ErrorCode::kInvalidArgument, "{}: expected a student with StudentOptions::lora",
         setting("adapter"));
  }
  return *adapters_;
}

}  // namespace mw::training
