// StudentModel: what the caller says, resolved against the loaded model, in front of a Trainer.
#include "lm/language_model.h"
#include "millwright/training.hpp"

#include <algorithm>
#include <cmath>

#include "api/class_labels.h"
#include "api/impl.h"
#include "api/pipeline.h"
#include "api/student_adapters.h"
#include "api/student_files.h"
#include "api/student_selection.h"
#include "api/teacher.h"
#include "base/error.h"
#include "base/tensor_file.h"
#include "devices/devices.h"
#include "ops/catalog.h"
#include "train/data.h"
#include "train/settings.h"
#include "train/trainer.h"

namespace mw {
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
  train::check(options);
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
  if (schedule.kind != Schedule::Kind::kConstant && schedule.total_steps <= 0) {
    fail(ErrorCode::kInvalidArgument,
         "{}: expected the step at which the rate reaches its end, got {}", setting("total_steps"),
         schedule.total_steps);
  }
}

void require_safetensors(const std::filesystem::path& path) {
  if (path.extension() == ".safetensors") return;
  fail(ErrorCode::kInvalidArgument, "{}: expected a name that ends in .safetensors", path.string());
}

}  // namespace

struct StudentModel::Impl {
  CoreMLModelWrapper model;
  StudentOptions options;
  Selection selection;
  std::optional<StudentAdapters> adapters;  // made with the student; maybe none
  std::optional<ClassLabels> classes;
  std::unique_ptr<train::Trainer> trainer;
  mutable std::optional<lm::LanguageModel> language;          // made when token ids alone are given
  std::map<Shape, lm::LanguageModel::LabelForm> label_forms;  // by the shape of the ids

  // The labels of a batch, taken out of its tensors.
  std::optional<Tensor> take_labels(TensorMap& inputs) const {
    // A model that makes the loss itself may have labels among its inputs.
    const bool takes_labels = options.loss == Loss::kOutput &&
                              model.impl().function->find_argument(train::kLabels) != nullptr;
    const auto found = inputs.find(train::kLabels);
    if (found == inputs.end() || takes_labels) return std::nullopt;
    return inputs.extract(found).mapped();
  }

  static bool is_text(const TensorMap& inputs) {
    return inputs.size() == 1 && inputs.begin()->first == "input_ids";
  }

  // Inputs as the model wants them.
  [[nodiscard]] TensorMap prepared_inputs(const TensorMap& inputs) const {
    if (!is_text(inputs)) return model.impl().prepare(inputs);
    if (!language) language.emplace(model.impl(), options.target);
    return model.impl().prepare(language->inputs_for(inputs.begin()->second, 0));
  }

  // The same, and the labels.
  TensorMap prepared(const Batch& batch) {
    TensorMap given = batch.tensors;
    const std::optional<Tensor> labels = take_labels(given);
    if (!labels && options.loss != Loss::kOutput) {
      fail(ErrorCode::kInvalidArgument, "batch: expected labels beside the inputs");
    }
    TensorMap inputs = prepared_inputs(given);
    if (labels) {
      Tensor checked = labels_of(*labels);
      const Shape ids = is_text(given) ? given.begin()->second.shape() : Shape();
      if (is_text(given) && checked.shape() == ids) checked = label_form(ids).of(checked);
      inputs[train::kLabels] = std::move(checked);
    }
    return inputs;
  }

  const lm::LanguageModel::LabelForm& label_form(const Shape& ids) {
    const auto known = label_forms.find(ids);
    if (known != label_forms.end()) return known->second;
    const lm::CallShape call = {ids.size() == 1 ? 1 : ids[0], ids.back()};
    return label_forms[ids] = language->label_form(call);
  }

  [[nodiscard]] Tensor labels_of(const Tensor& labels) const {
    if (options.loss == Loss::kCrossEntropy) return classes->indices_of(labels);
    if (labels.dtype() == DType::kString) {
      fail(ErrorCode::kInvalidArgument, "labels: expected numbers, got names");
    }
    Tensor numbers = labels.to(DType::kF32);
    const bool binary = options.loss == Loss::kBinaryCrossEntropy;
    for (int64_t i = 0; i < labels.count(); ++i) {
      const double label = numbers.number_at(i);
      if (!binary && std::isfinite(label)) continue;
      if (!binary) {
        fail(ErrorCode::kInvalidArgument, "labels: expected finite numbers, got {}",
             labels.number_at(i));
      }
      if ((label >= 0 && label <= 1) || label == train::kIgnoredLabel) continue;
      fail(ErrorCode::kInvalidArgument, "labels: expected numbers from 0 to 1 or {}, got {}",
           train::kIgnoredLabel, label);
    }
    return numbers;
  }

  [[nodiscard]] std::string first_nonfinite(const Batch& batch) const {
    TensorMap inputs = batch.tensors;
    (void)take_labels(inputs);
    return trainer->first_nonfinite(prepared_inputs(inputs));
  }

  [[nodiscard]] std::string training_plan_text(train::Kind program, const TensorMap& given) const {
    TensorMap inputs = given;
    const std::optional<Tensor> labels = take_labels(inputs);
    Shapes shapes;
    for (const auto& [name, tensor] : prepared_inputs(inputs)) shapes[name] = tensor.shape();
    if (labels) shapes[train::kLabels] = labels->shape();
    return trainer->plan_text(program, std::move(shapes));
  }

  [[nodiscard]] const train::Parameter& parameter(const std::string& name) const {
    for (const auto& parameter : trainer->parameters()) {
      if (parameter.name == name) return parameter;
    }
    fail(ErrorCode::kInvalidArgument, "parameter '{}': expected one that is trained", name);
  }

  [[nodiscard]] const StudentAdapters& lora() const {
    if (adapters->empty()) {
      fail(ErrorCode::kInvalidArgument, "{}: expected a student with StudentOptions::lora",
           setting("adapter"));
    }
    return *adapters;
  }

  [[nodiscard]] StudentSource source(const SaveOptions& save) const {
    const auto reach =
        save.only_function ? exporter::Reach::kOneFunction : exporter::Reach::kAllFunctions;
    return {model.impl().model, *model.impl().function, reach};
  }

  // With adapters, "*" takes nothing beside them.
  void select_parameters() {
    const bool adapted = options.lora.has_value();
    const bool nothing = adapted && options.trainable == std::vector<std::string>{"*"};
    selection =
        select(*model.impl().function, nothing ? std::vector<std::string>() : options.trainable);
    if (adapted) {
      adapters.emplace(*model.impl().function, *options.lora, selection, model.impl().watch.get());
    } else {
      adapters.emplace(*model.impl().function);
    }
  }

  template <class F>
  auto in_file(const F& f) {
    return in_context([&] { return model.path().string(); }, f);
  }
};

StudentModel::StudentModel(const CoreMLModelWrapper& model, const StudentOptions& options)
    : impl_(std::make_unique<Impl>()) {
  impl_->model = model;
  impl_->options = options;
  const CoreMLModelWrapper::Impl& loaded = model.impl();
  check_together(options);
  impl_->in_file([&] {
    if (loaded.adapted != nullptr) {
      fail(ErrorCode::kInvalidArgument,
           "model: expected one without an adapter; a student goes on with it by load_adapter()");
    }
    impl_->select_parameters();
    check_differentiable_inputs(*loaded.function, options.wrt_inputs);
    train::TrainerOptions t;
    t.settings = options;
    t.target = loaded.target(options.target).name;
    impl_->classes.emplace(loaded.target(options.target).value);
    t.parameters = impl_->selection.trained;
    t.platform = devices::platform(loaded.options.device);
    t.threads = loaded.options.threads;
    t.watch = loaded.watch;
    t.numerics = numerics_of(loaded.options.compute);
    if (t.numerics.rounds_fp16) {
      fail(ErrorCode::kInvalidArgument,
           "{}: expected fp32 or fp64 to train in, got fp16; load the model with one of them",
           setting("compute"));
    }
    t.files = loaded.model.weight_files;
    impl_->trainer = std::make_unique<train::Trainer>(impl_->adapters->function(), std::move(t));
    check_groups(options.groups, impl_->trainer->parameters());
  });
}

StudentModel::~StudentModel() = default;
StudentModel::StudentModel(StudentModel&&) noexcept = default;
StudentModel& StudentModel::operator=(StudentModel&&) noexcept = default;

void StudentModel::set_teacher(const CoreMLModelWrapper& teacher, const DistillOptions& options) {
  // Its square stands in the loss.
  const float squared = options.temperature * options.temperature;
  if (!(options.temperature > 0) || squared == 0 || !std::isfinite(squared)) {
    fail(ErrorCode::kInvalidArgument,
         "{}: expected more than 0, with a square that is a float, got {}", setting("temperature"),
         options.temperature);
  }
  train::check(options);
  if (!teacher.states().empty()) {
    fail(ErrorCode::kUnsupported,
         "{}: expected a model without states, got one with '{}'; distil from a form of it "
         "that takes whole windows",
         setting("teacher"), teacher.states().front().name);
  }
  check_vocabularies(impl_->model, teacher);
  impl_->classes->expect_same(ClassLabels(teacher.impl().target(options.target).value));
  impl_->trainer->set_teacher(
      *teacher.impl().function, teacher.impl().target(options.target).name, options.temperature,
      options.alpha,
      [student = impl_->model, target = impl_->options.target, teacher,
       teacher_target = options.target](const auto& shapes) {
        return layout_of_teacher({student, target}, {teacher, teacher_target}, shapes);
      });
}

StepResult StudentModel::training_step(const Batch& batch) {
  return impl_->in_file([&] { return impl_->trainer->step(impl_->prepared(batch)); });
}

StepResult StudentModel::training_step(const std::vector<Batch>& batches) {
  return impl_->in_file([&] {
    std::vector<TensorMap> prepared(batches.size());
    std::transform(batches.begin(), batches.end(), prepared.begin(),
                   [&](const Batch& batch) { return impl_->prepared(batch); });
    return impl_->trainer->step(static_cast<int64_t>(prepared.size()),
                                [&](int64_t i) { return prepared[static_cast<size_t>(i)]; });
  });
}

StepResult StudentModel::training_step(int64_t count, const std::function<Batch(int64_t)>& batch) {
  return impl_->in_file([&] {
    return impl_->trainer->step(count, [&](int64_t i) { return impl_->prepared(batch(i)); });
  });
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

std::string StudentModel::objective(const Batch& batch) {
  return impl_->in_file([&] { return impl_->trainer->objective(impl_->prepared(batch)).text; });
}

std::vector<std::string> StudentModel::class_labels() const { return impl_->classes->names(); }
uint64_t StudentModel::step_bytes() const { return impl_->trainer->step_bytes(); }

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

void StudentModel::save_weights(const std::filesystem::path& path) const {
  require_safetensors(path);
  TensorMap weights;
  for (const auto& parameter : impl_->trainer->parameters()) {
    weights[parameter.name] = get_parameter(parameter.name);
  }
  write_safetensors(path, weights);
}

void StudentModel::load_weights(const std::filesystem::path& path) {
  require_safetensors(path);
  const TensorMap weights = read_tensors(path);
  in_context([&] { return path.string(); },
             [&] {
               for (const auto& [name, value] : weights) {
                 impl_->trainer->check_master(impl_->parameter(name), value);
               }
               for (const auto& [name, value] : weights) set_parameter(name, value);
             });
}

uint64_t StudentModel::weight_bytes_held() const { return impl_->trainer->weight_bytes_held(); }
TensorMap snapshot_of(const StudentModel& student) { return student.impl().trainer->snapshot(); }
TensorMap StudentModel::state() const { return impl_->trainer->state(); }
void StudentModel::load_state(const TensorMap& state) { impl_->trainer->load_state(state); }

std::vector<std::string> StudentModel::save(const std::filesystem::path& path,
                                            const SaveOptions& options) const {
  return save_student(impl_->source(options), *impl_->trainer, *impl_->adapters, path);
}
std::vector<std::string> StudentModel::notes(const SaveOptions& options) const {
  return notes_of_student(impl_->source(options), *impl_->trainer, *impl_->adapters);
}

void StudentModel::save_adapter(const std::filesystem::path& path,
                                const std::filesystem::path& module_names) const {
  adapters::write_adapters(path, impl_->lora().now(*impl_->trainer), module_names);
}
void StudentModel::load_adapter(const std::filesystem::path& path) {
  impl_->in_file([&] { impl_->lora().load(path, *impl_->trainer); });
}

std::string training_plan_text(const StudentModel& student, train::Kind program,
                               const TensorMap& inputs) {
  return student.impl().training_plan_text(program, inputs);
}
train::Objective objective_in_training(const StudentModel& student, const TensorMap& inputs) {
  return student.impl().trainer->objective(student.impl().model.impl().prepare(inputs));
}
std::string first_nonfinite(const StudentModel& student, const Batch& batch) {
  return student.impl().first_nonfinite(batch);
}

}  // namespace mw
