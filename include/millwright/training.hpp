// StudentModel: trains a loaded model on its own weights, alone or distilled from a teacher.
//
//   mw::StudentModel student(model, {.optimizer = mw::AdamW{.learning_rate = 1e-3f}});
//   student.set_teacher(mw::CoreMLModelWrapper::load("teacher.mlpackage"), {.temperature = 2.0f});
//   mw::StepResult r = student.training_step({ids, labels});      // forward, backward, update
//   student.save("student-trained.mlpackage");
//
// train() and distill(): a whole run, from files of data to the written package.
//
//   mw::TrainingSettings settings;
//   settings.run = {.data = "corpus.txt", .output = "trained.mlpackage", .steps = 200};
//   mw::TrainingReport report = mw::train("student.mlpackage", settings);
#pragma once

#include <functional>

#include "millwright/millwright.hpp"
#include "millwright/parameter.hpp"
#include "millwright/run_settings.hpp"
#include "millwright/step_result.hpp"
#include "millwright/training_report.hpp"

namespace mw {

// Inputs by name, with the labels as `labels`. {ids, labels}: int32 [batch, time] each, labels at
// the positions they are predicted from.
struct Batch {
  TensorMap tensors;
  Batch(Tensor input_ids, Tensor labels)
      : tensors{{"input_ids", std::move(input_ids)}, {"labels", std::move(labels)}} {}
  explicit Batch(TensorMap tensors) : tensors(std::move(tensors)) {}
};

// A model in training. Not thread-safe. The wrapped model and its file stay as they are.
class MW_API StudentModel {
 public:
  explicit StudentModel(const CoreMLModelWrapper& model, const StudentOptions& options = {});
  ~StudentModel();
  StudentModel(StudentModel&&) noexcept;
  StudentModel& operator=(StudentModel&&) noexcept;

  // Its vocabulary and tokens must be the student's. A language model with other inputs, with
  // states, or of other rows and lengths is fed with the token ids by itself; docs/training.md has
  // what that means. Called before the first step.
  void set_teacher(const CoreMLModelWrapper& teacher, const DistillOptions& options = {});

  // Forward, backward and update; several batches are one step, weighted by their labels.
  StepResult training_step(const Batch& batch);
  StepResult training_step(const std::vector<Batch>& batches);
  // The same with batch(0) to batch(count - 1), each made when its turn comes.
  StepResult training_step(int64_t count, const std::function<Batch(int64_t)>& batch);
  // Gradients of the mean loss by parameter name, as "input.NAME" by input; nothing is updated.
  TensorMap backward(const Batch& batch, StepResult* result = nullptr);
  // The loss of a batch, without the teacher.
  StepResult evaluate(const Batch& batch);
  // What is minimised and over what, in one line: "cross entropy of 'x' (before softmax of
  // 'probs'), over axis 1, 3 classes". The batch tells the shapes.
  [[nodiscard]] std::string objective(const Batch& batch);
  // The classes of a classifier, in the order of the indices that labels may be; else none. Where
  // they are integers, integer labels are these and no indices.
  [[nodiscard]] std::vector<std::string> class_labels() const;
  // What the largest step so far takes, counted as in StudentOptions::memory; 0 before the first.
  [[nodiscard]] uint64_t step_bytes() const;
  // Outputs with the weights as they are now.
  TensorMap predict(const TensorMap& inputs);

  [[nodiscard]] std::vector<Parameter> parameters() const;
  [[nodiscard]] Tensor get_parameter(const std::string& name) const;  // a copy, in fp32
  void set_parameter(const std::string& name, const Tensor& value);
  // The trained parameters by name, in fp32, as a .safetensors file; and back again: those that the
  // file names are replaced, after all of it was checked.
  void save_weights(const std::filesystem::path& path) const;
  void load_weights(const std::filesystem::path& path);
  // Bytes that the programs of training hold for frozen weights, a teacher's included: mapped blobs
  // in use, packed copies and tables. Weights that several programs share count in each.
  [[nodiscard]] uint64_t weight_bytes_held() const;
  // Everything that training changes (masters, moments, step), by name; and back again.
  [[nodiscard]] TensorMap state() const;
  void load_state(const TensorMap& state);
  // The same as a .safetensors file.
  void save_checkpoint(const std::filesystem::path& path) const;
  void load_checkpoint(const std::filesystem::path& path);

  // The package the model came from, with the trained weights; .mlpackage or .mlmodelc by the name.
  // Returns sentences about weights that the stored dtype could not hold. Adapters are added to
  // their weights; a compressed weight becomes a plain one.
  // NOLINTNEXTLINE(modernize-use-nodiscard)
  std::vector<std::string> save(const std::filesystem::path& path,
                                const SaveOptions& options = {}) const;
  // Sentences on what save() does beside the function in training: the functions that change with
  // it. Known from the beginning.
  [[nodiscard]] std::vector<std::string> notes(const SaveOptions& options = {}) const;
  // The adapters alone, for LoadOptions::adapter and to go on from: a .safetensors file, or, by a
  // name without an extension, a folder as Hugging Face PEFT or mlx-lm has it; which of these, if
  // no `format` says it, the folder that it replaces tells, else it is PEFT's. There
  // `module_names`, a .safetensors file of the model that the package was converted from or a map
  // of modules (docs/formats.md), tells how modules are called.
  void save_adapter(const std::filesystem::path& path,
                    const std::filesystem::path& module_names = {},
                    std::optional<AdapterFormat> format = {}) const;
  // Any of the three; `module_names` as in LoadOptions.
  void load_adapter(const std::filesystem::path& path,
                    const std::filesystem::path& module_names = {});

  struct Impl;
  [[nodiscard]] const Impl& impl() const { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

// Told after each step; false ends the run there, as TrainingObserver::should_stop() does.
using TellProgress = std::function<bool(const TrainingProgress&)>;

// What `millwright train` does: reads the data, trains, validates, keeps checkpoints, writes the
// package and the report. The same settings give the same bits, whoever calls. A run ends whole
// whatever ends it: where something is thrown, by it or by who is told of its progress, no package
// is written, and the last checkpoint is one to go on from (`resume`).
MW_API TrainingReport train(const CoreMLModelWrapper& model, const TrainingSettings& settings,
                            const TellProgress& progress = nullptr);
MW_API TrainingReport train(const CoreMLModelWrapper& model, const TrainingSettings& settings,
                            TrainingObserver& observer);
MW_API TrainingReport train(const std::filesystem::path& model, const TrainingSettings& settings,
                            const TellProgress& progress = nullptr);

// The same, where the student learns from a teacher's predictions as well.
MW_API TrainingReport distill(const CoreMLModelWrapper& student, const CoreMLModelWrapper& teacher,
                              const TrainingSettings& settings,
                              const TellProgress& progress = nullptr);
MW_API TrainingReport distill(const CoreMLModelWrapper& student, const CoreMLModelWrapper& teacher,
                              const TrainingSettings& settings, TrainingObserver& observer);

}  // namespace mw
