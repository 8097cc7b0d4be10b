// StudentModel: a training::Student of a loaded package, and its files.
#include "adapters/file.h"
#include "api/impl.h"
#include "api/pipeline.h"
#include "api/student_files.h"
#include "base/error.h"
#include "base/tensor_file.h"
#include "devices/devices.h"
#include "millwright/training.hpp"
#include "train/student.h"

namespace mw {
namespace {

void require_safetensors(const std::filesystem::path& path) {
  if (path.extension() == ".safetensors") return;
  fail(ErrorCode::kInvalidArgument, "{}: expected a name that ends in .safetensors", path.string());
}

// Throws where that model cannot be trained as it was loaded.
training::StudentSource source_of(const CoreMLModelWrapper::Impl& loaded) {
  if (loaded.adapted != nullptr) {
    fail(ErrorCode::kInvalidArgument,
         "model: expected one without an adapter; a student goes on with it by load_adapter()");
  }
  const passes::Numerics numerics = numerics_of(loaded.options.compute);
  if (numerics.rounds_fp16) {
    fail(ErrorCode::kInvalidArgument,
         "{}: expected fp32, bf16 or fp64 to train in, got fp16; load the model with one of them",
         setting("compute"));
  }
  return {.model = loaded,
          .function = *loaded.function,
          .platform = devices::platform(loaded.options.device),
          .threads = loaded.options.threads,
          .numerics = numerics,
          .watch = loaded.watch,
          .files = loaded.model.weight_files};
}

}  // namespace

struct StudentModel::Impl {
  CoreMLModelWrapper model;
  std::unique_ptr<training::Student> student;

  [[nodiscard]] training::Trainer& trainer() const { return student->trainer(); }
  [[nodiscard]] StudentPackage package(const SaveOptions& save) const {
    const auto reach =
        save.only_function ? exporter::Reach::kOneFunction : exporter::Reach::kAllFunctions;
    return {model.impl().model, *model.impl().function, reach, model.impl().stands_for};
  }
};

StudentModel::StudentModel(const CoreMLModelWrapper& model, const StudentOptions& options)
    : impl_(std::make_unique<Impl>()) {
  impl_->model = model;
  const training::StudentSource source =
      in_context([&] { return model.path().string(); }, [&] { return source_of(model.impl()); });
  impl_->student = std::make_unique<training::Student>(source, options);
}

StudentModel::~StudentModel() = default;
StudentModel::StudentModel(StudentModel&&) noexcept = default;
StudentModel& StudentModel::operator=(StudentModel&&) noexcept = default;

void StudentModel::set_teacher(const CoreMLModelWrapper& teacher, const DistillOptions& options) {
  impl_->student->set_teacher(shared_model(teacher), *teacher.impl().function, options);
}

StepResult StudentModel::training_step(const Batch& batch) {
  return impl_->student->step(batch.tensors);
}
StepResult StudentModel::training_step(const std::vector<Batch>& batches) {
  return impl_->student->step(static_cast<int64_t>(batches.size()),
                              [&](int64_t i) { return batches[static_cast<size_t>(i)].tensors; });
}
StepResult StudentModel::training_step(int64_t count, const std::function<Batch(int64_t)>& batch) {
  return impl_->student->step(count, [&](int64_t i) { return batch(i).tensors; });
}

TensorMap StudentModel::backward(const Batch& batch, StepResult* result) {
  StepResult unused;
  return impl_->student->gradients(batch.tensors, result != nullptr ? *result : unused);
}
StepResult StudentModel::evaluate(const Batch& batch) {
  return impl_->student->evaluate(batch.tensors);
}
std::string StudentModel::objective(const Batch& batch) {
  return impl_->student->objective(batch.tensors);
}
std::vector<std::string> StudentModel::class_labels() const {
  return impl_->student->classes().names();
}
uint64_t StudentModel::step_bytes() const { return impl_->trainer().step_bytes(); }
TensorMap StudentModel::predict(const TensorMap& inputs) { return impl_->student->predict(inputs); }

std::vector<Parameter> StudentModel::parameters() const { return impl_->student->parameters(); }

Tensor StudentModel::get_parameter(const std::string& name) const {
  const Tensor& master = impl_->trainer().master(impl_->student->trained(name));
  return master.dtype() == DType::kF32 ? master.clone() : master.to(DType::kF32);
}
void StudentModel::set_parameter(const std::string& name, const Tensor& value) {
  impl_->trainer().set_master(impl_->student->trained(name), value);
}

void StudentModel::save_weights(const std::filesystem::path& path) const {
  require_safetensors(path);
  TensorMap weights;
  for (const auto& parameter : impl_->trainer().parameters()) {
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
                 impl_->trainer().check_master(impl_->student->trained(name), value);
               }
               for (const auto& [name, value] : weights) set_parameter(name, value);
             });
}

uint64_t StudentModel::weight_bytes_held() const { return impl_->trainer().weight_bytes_held(); }
TensorMap StudentModel::state() const { return impl_->trainer().state(); }
void StudentModel::load_state(const TensorMap& state) { impl_->trainer().load_state(state); }

void StudentModel::save_checkpoint(const std::filesystem::path& path) const {
  require_safetensors(path);
  write_safetensors(path, state());
}
void StudentModel::load_checkpoint(const std::filesystem::path& path) {
  require_safetensors(path);
  const TensorMap state = read_tensors(path);
  in_context([&] { return path.string(); }, [&] { load_state(state); });
}

std::vector<std::string> StudentModel::save(const std::filesystem::path& path,
                                            const SaveOptions& options) const {
  return save_student(impl_->package(options), *impl_->student, path);
}
std::vector<std::string> StudentModel::notes(const SaveOptions& options) const {
  return notes_of_student(impl_->package(options), *impl_->student);
}

void StudentModel::save_adapter(const std::filesystem::path& path,
                                const std::filesystem::path& module_names,
                                std::optional<AdapterFormat> format) const {
  adapters::write_adapters(path, impl_->student->lora().now(impl_->trainer()),
                           format ? *format : adapters::format_for(path), module_names);
}
void StudentModel::load_adapter(const std::filesystem::path& path,
                                const std::filesystem::path& module_names) {
  in_context([&] { return impl_->model.path().string(); },
             [&] { impl_->student->lora().load(path, module_names, impl_->trainer()); });
}

training::Student& student_of(const StudentModel& student) { return *student.impl().student; }

}  // namespace mw
