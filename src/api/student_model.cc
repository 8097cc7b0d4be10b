// StudentModel: what the caller says, resolved against the loaded model, in front of a Trainer.
#include "millwright/training.hpp"

#include <fnmatch.h>

#include <algorithm>
#include <limits>

#include "api/impl.h"
#include "api/language_model.h"
#include "base/error.h"
#include "exporter/export.h"
#include "ops/catalog.h"
#include "ops/kernels_cpu.h"
#include "ops/rewrites/parameters.h"
#include "train/trainer.h"

namespace mw {
namespace {

constexpr int64_t kIgnored = -100;  // the label that does not count

bool matches(const std::string& glob, const std::string& name) {
  return fnmatch(glob.c_str(), name.c_str(), 0) == 0;
}

// Which of the candidates the globs take in, and why the others are out.
struct Selection {
  std::vector<train::Candidate> candidates;
  std::vector<Parameter> parameters;
};

Selection select(const ir::Function& function, const std::vector<std::string>& globs) {
  Selection selection;
  std::vector<bool> used(globs.size(), false);
  for (const ops::ParameterInfo& info : ops::parameters_of(function, ops::catalog())) {
    Parameter parameter;
    parameter.name = info.name;
    if (info.value->type.is_tensor()) parameter.shape = info.value->type.shape();
    parameter.stored = info.value->type.dtype();
    parameter.reason = info.reason;
    for (size_t i = 0; i < globs.size(); ++i) {
      if (!matches(globs[i], info.name)) continue;
      const bool taken = info.trainable || (info.selectable && globs[i] != "*");
      used[i] = used[i] || taken;
      parameter.trained = parameter.trained || taken;
    }
    if (parameter.trained) selection.candidates.push_back({info.op, info.name});
    selection.parameters.push_back(std::move(parameter));
  }
  for (size_t i = 0; i < globs.size(); ++i) {
    if (used[i]) continue;
    fail(ErrorCode::kInvalidArgument,
         "trainable '{}': expected a glob that matches a parameter; `millwright inspect` lists "
         "them",
         globs[i]);
  }
  return selection;
}

std::string target_of(const CoreMLModelWrapper& model, const std::string& wanted) {
  const auto outputs = model.outputs();
  std::string names, only;
  int floats = 0;
  for (const FeatureDescription& output : outputs) {
    names += (names.empty() ? "" : ", ") + output.name;
    if (output.name == wanted || (wanted.empty() && output.name == "logits")) return output.name;
    if (!is_float(output.dtype)) continue;
    only = output.name;
    ++floats;
  }
  if (!wanted.empty()) {
    fail(ErrorCode::kInvalidArgument, "target '{}': expected one of the outputs {}", wanted, names);
  }
  if (floats != 1) {
    fail(ErrorCode::kInvalidArgument,
         "target: expected the name of the output to train on, one of {}", names);
  }
  return only;
}

// Models need not have tokenizers; where both have one, every id must be the same token.
void check_vocabularies(const CoreMLModelWrapper& student, const CoreMLModelWrapper& teacher) {
  const auto tokenizer_of = [](const CoreMLModelWrapper& model) -> const Tokenizer* {
    try {
      return &model.tokenizer();
    } catch (const Error&) {
      return nullptr;
    }
  };
  const Tokenizer* ours = tokenizer_of(student);
  const Tokenizer* theirs = tokenizer_of(teacher);
  if (ours == nullptr || theirs == nullptr || ours->path() == theirs->path()) return;
  if (ours->vocab_size() != theirs->vocab_size()) {
    fail(ErrorCode::kInvalidArgument,
         "teacher: expected the student's vocabulary of {} tokens, got {}; distil from a teacher "
         "with the same tokenizer",
         ours->vocab_size(), theirs->vocab_size());
  }
  for (int64_t i = 0; i < std::max(ours->id_limit(), theirs->id_limit()); ++i) {
    const auto id = static_cast<int32_t>(i);
    const auto our_token = ours->id_to_token(id), their_token = theirs->id_to_token(id);
    if (our_token == their_token) continue;
    fail(ErrorCode::kInvalidArgument,
         "teacher: token {}: expected the student's '{}', got '{}'; distil from a teacher with the "
         "same tokenizer",
         id, our_token.value_or(""), their_token.value_or(""));
  }
}

void check_differentiable_inputs(const ir::Function& function,
                                 const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const ir::Value* argument = function.find_argument(name);
    if (argument != nullptr && argument->type.is_tensor() && is_float(argument->type.dtype())) {
      continue;
    }
    fail(ErrorCode::kInvalidArgument, "wrt_inputs: '{}': expected an input of floats", name);
  }
}

void expect_number(const char* name, double value, double low, double below) {
  if (value >= low && value < below) return;
  fail(ErrorCode::kInvalidArgument, "{}: expected a number in [{}, {}), got {}", name, low, below,
       value);
}

void check_numbers(const StudentOptions& options) {
  constexpr double kAny = std::numeric_limits<double>::infinity();
  std::visit(
      [&]<class T>(const T& optimizer) {
        expect_number("learning_rate", optimizer.learning_rate, 0, kAny);
        expect_number("weight_decay", optimizer.weight_decay, 0, kAny);
        if constexpr (std::is_same_v<T, Sgd>) {
          expect_number("momentum", optimizer.momentum, 0, 1);
        } else {
          expect_number("beta1", optimizer.beta1, 0, 1);
          expect_number("beta2", optimizer.beta2, 0, 1);
          expect_number("epsilon", optimizer.epsilon, 0, kAny);
        }
      },
      options.optimizer);
  expect_number("label_smoothing", options.label_smoothing, 0, 1);
  expect_number("clip_norm", options.clip_norm, 0, kAny);
  for (const ParameterGroup& group : options.groups) {
    expect_number("learning_rate_factor", group.learning_rate_factor, 0, kAny);
    expect_number("weight_decay", group.weight_decay.value_or(0), 0, kAny);
  }
}

// Extent of the last axis of an output, as far as the program tells.
int64_t classes_of(const ir::Function& function, const std::string& output) {
  for (const ir::Value* value : function.body.outputs) {
    if (value->name != output || !value->type.is_tensor() || !value->type.has_rank()) continue;
    const Shape& shape = value->type.shape();
    if (!shape.empty() && shape.back() >= 0) return shape.back();
  }
  return INT32_MAX;
}

}  // namespace

struct StudentModel::Impl {
  CoreMLModelWrapper model;
  StudentOptions options;
  Selection selection;
  int64_t classes = INT32_MAX;  // that labels choose from
  std::unique_ptr<train::Trainer> trainer;

  // Inputs of the model as it wants them, and the labels.
  TensorMap prepared(const Batch& batch) const {
    TensorMap inputs = batch.tensors;
    std::optional<Tensor> labels;
    if (const auto found = inputs.find(train::kLabels); found != inputs.end()) {
      labels = found->second;
      inputs.erase(found);
    } else if (options.loss != Loss::kOutput) {
      fail(ErrorCode::kInvalidArgument, "batch: expected labels beside the inputs");
    }
    if (inputs.size() == 1 && inputs.begin()->first == "input_ids") {
      TensorMap made = LanguageModel(model, options.target).inputs_for(ids_of(inputs), 0);
      inputs.insert(made.begin(), made.end());
    }
    inputs = model.impl().prepare(inputs);
    if (labels) inputs[train::kLabels] = labels_of(*labels);
    return inputs;
  }

  static Tensor ids_of(const TensorMap& inputs) {
    const Tensor& ids = inputs.begin()->second;
    if (ids.rank() < 1 || ids.rank() > 2) {
      fail(ErrorCode::kInvalidArgument, "input_ids: expected [time] or [batch, time], got {}",
           to_string(ids.shape()));
    }
    return ids.rank() == 1 ? ids.reshaped({1, ids.dim(0)}) : ids;
  }

  void check_label(int64_t label) const {
    if (label == kIgnored) return;
    if (label >= 0 && label < classes) return;
    fail(ErrorCode::kInvalidArgument, "labels: expected values in [0, {}) or {}, got {}", classes,
         kIgnored, label);
  }

  Tensor labels_of(const Tensor& labels) const {
    if (options.loss == Loss::kMeanSquaredError) return labels.to(DType::kF32);
    if (is_float(labels.dtype())) {
      fail(ErrorCode::kInvalidArgument, "labels: expected integers, got {}",
           name_of(labels.dtype()));
    }
    const Tensor integers = labels.to(DType::kI32);
    for (int64_t i = 0; i < labels.count(); ++i) check_label(labels.integer_at(i));
    const bool one_row = integers.rank() == 1 && model.impl().function->find_argument("input_ids");
    return one_row ? integers.reshaped({1, integers.dim(0)}) : integers;
  }

  const train::Lifted::Parameter& parameter(const std::string& name) const {
    for (const auto& parameter : trainer->parameters()) {
      if (parameter.name == name) return parameter;
    }
    fail(ErrorCode::kInvalidArgument, "parameter '{}': expected one that is trained", name);
  }

  template <class F>
  auto in_file(const F& f) const {
    return in_context([&] { return model.path().string(); }, f);
  }
};

StudentModel::StudentModel(const CoreMLModelWrapper& model, const StudentOptions& options)
    : impl_(std::make_unique<Impl>()) {
  impl_->model = model;
  impl_->options = options;
  const CoreMLModelWrapper::Impl& loaded = model.impl();
  check_numbers(options);
  impl_->in_file([&] {
    impl_->selection = select(*loaded.function, options.trainable);
    check_differentiable_inputs(*loaded.function, options.wrt_inputs);
    train::TrainerOptions t;
    t.settings = options;
    t.target = target_of(model, options.target);
    impl_->classes = classes_of(*loaded.function, t.target);
    t.candidates = impl_->selection.candidates;
    t.catalog = &ops::catalog();
    t.backend = &ops::cpu_backend();
    t.threads = loaded.options.threads;
    t.dtype = loaded.options.compute == Compute::kFp64 ? DType::kF64 : DType::kF32;
    t.files = loaded.model.weight_files;
    impl_->trainer = std::make_unique<train::Trainer>(*loaded.function, std::move(t));
  });
}

StudentModel::~StudentModel() = default;
StudentModel::StudentModel(StudentModel&&) noexcept = default;
StudentModel& StudentModel::operator=(StudentModel&&) noexcept = default;

void StudentModel::set_teacher(const CoreMLModelWrapper& teacher, const DistillOptions& options) {
  if (!(options.temperature > 0)) {
    fail(ErrorCode::kInvalidArgument, "temperature: expected more than 0, got {}",
         options.temperature);
  }
  if (!(options.alpha >= 0 && options.alpha <= 1)) {
    fail(ErrorCode::kInvalidArgument, "alpha: expected a number from 0 to 1, got {}",
         options.alpha);
  }
  check_vocabularies(impl_->model, teacher);
  impl_->trainer->set_teacher(*teacher.impl().function, target_of(teacher, options.target),
                              options.temperature, options.alpha);
}

StepResult StudentModel::training_step(const Batch& batch) {
  return impl_->in_file([&] { return impl_->trainer->step(impl_->prepared(batch)); });
}

StepResult StudentModel::training_step(const std::vector<Batch>& batches) {
  std::vector<TensorMap> prepared;
  for (const Batch& batch : batches) prepared.push_back(impl_->prepared(batch));
  return impl_->in_file([&] { return impl_->trainer->step(prepared); });
}

TensorMap StudentModel::backward(const Batch& batch, StepResult* result) {
  StepResult unused;
  return impl_->in_file([&] {
    return impl_->trainer->gradients(impl_->prepared(batch), result != nullptr ? *result : unused);
  });
}

StepResult StudentModel::evaluate(const Batch& batch) {
  return impl_->in_file([&] { return impl_->trainer->evaluate(impl_->prepared(batch)); });
}

TensorMap StudentModel::predict(const TensorMap& inputs) {
  return impl_->in_file(
      [&] { return impl_->trainer->forward(impl_->model.impl().prepare(inputs)); });
}

std::vector<Parameter> StudentModel::parameters() const { return impl_->selection.parameters; }

Tensor StudentModel::get_parameter(const std::string& name) const {
  const Tensor& master = impl_->trainer->master(impl_->parameter(name));
  return master.dtype() == DType::kF32 ? master.clone() : master.to(DType::kF32);
}
void StudentModel::set_parameter(const std::string& name, const Tensor& value) {
  impl_->trainer->set_master(impl_->parameter(name), value);
}

TensorMap StudentModel::state() const { return impl_->trainer->state(); }
void StudentModel::load_state(const TensorMap& state) { impl_->trainer->load_state(state); }

std::vector<std::string> StudentModel::save(const std::filesystem::path& path) const {
  std::vector<exporter::TrainedWeight> weights;
  for (const auto& parameter : impl_->trainer->parameters()) {
    weights.push_back({&parameter, impl_->trainer->master(parameter)});
  }
  const auto& loaded = impl_->model.impl();
  auto exported = exporter::with_weights(loaded.model, *loaded.function, weights);
  const int64_t steps = impl_->trainer->steps_done();
  if (steps > 0) {
    auto& metadata = exported.model.metadata.user_defined;
    metadata["millwright.trained_steps"] = std::to_string(steps);
    metadata["millwright.trained_parameters"] = std::to_string(weights.size());
  }
  package::write(exported.model, path);
  return exported.warnings;
}

}  // namespace mw
