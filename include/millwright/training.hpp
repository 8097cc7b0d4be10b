// StudentModel: trains a loaded model on its own weights, alone or distilled from a teacher.
//
//   mw::StudentModel student(model, {.optimizer = mw::AdamW{.learning_rate = 1e-3f}});
//   student.set_teacher(mw::CoreMLModelWrapper::load("teacher.mlpackage"), {.temperature = 2.0f});
//   mw::StepResult r = student.training_step({ids, labels});      // forward, backward, update
//   student.save("student-trained.mlpackage");
#pragma once

#include <functional>
#include <variant>

#include "millwright/millwright.hpp"

namespace mw {

// Stochastic gradient descent: v = momentum v + g + weight_decay p; p -= lr v, or, with nesterov,
// p -= lr (g + weight_decay p + momentum v).
struct Sgd {
  float learning_rate = 1e-2f;
  float momentum = 0;
  float weight_decay = 0;
  bool nesterov = false;
};
// Kingma and Ba 2014, with weight decay added to the gradient.
struct Adam {
  float learning_rate = 1e-3f;
  float beta1 = 0.9f, beta2 = 0.999f;
  float epsilon = 1e-8f;
  float weight_decay = 0;
};
// Loshchilov and Hutter 2017: weight decay apart from the gradient.
struct AdamW {
  float learning_rate = 1e-3f;
  float beta1 = 0.9f, beta2 = 0.999f;
  float epsilon = 1e-8f;
  float weight_decay = 0.01f;
};
using Optimizer = std::variant<AdamW, Adam, Sgd>;

// Factor on the optimiser's learning rate, by step.
struct Schedule {
  enum class Kind : uint8_t { kConstant, kLinear, kCosine };
  Kind kind = Kind::kConstant;
  int64_t warmup_steps = 0;  // linear from 0
  int64_t total_steps = 0;   // where the factor reaches `final_factor`; not needed for kConstant
  float final_factor = 0;
  // Of step 0, 1, ...
  [[nodiscard]] MW_API float factor(int64_t step) const;
};

enum class Loss : uint8_t {
  // Of logits and labels: an index per position, of a classifier also the names of its classes, or
  // its numbers. Label -100 is ignored. Where the target is a softmax or the logarithm of one, its
  // input is what is taken for the logits.
  kCrossEntropy,
  kMeanSquaredError,
  kOutput,  // the target output is a scalar and is the loss itself
  // Of logits, or of a sigmoid's input, and a label from 0 to 1 for each; -100 is ignored.
  kBinaryCrossEntropy,
};

// Settings for the parameters whose names match a glob; the last match counts.
struct ParameterGroup {
  std::string glob;
  float learning_rate_factor = 1;
  std::optional<float> weight_decay;  // instead of the optimiser's
};

// Low-rank adaptation (Hu et al. 2021): weights stay frozen, and y = W x becomes
// y = W x + (alpha / rank) B A x with A: [rank, inputs] and B: [outputs, rank] trained. B begins as
// zero, A uniform in +-1/sqrt(inputs). Works on compressed weights, too.
struct Lora {
  int64_t rank = 8;
  float alpha = 16;
  // Globs over parameter names; "*" takes every weight of linear, matmul and ungrouped conv.
  std::vector<std::string> targets = {"*"};
  uint64_t seed = 0;  // of A
};

struct StudentOptions {
  Optimizer optimizer = AdamW{};
  Schedule schedule;
  // Globs over parameter names. "*" takes the default set; a name taken in by a glob other than "*"
  // may also be one that is out by default (a table, a mask).
  std::vector<std::string> trainable = {"*"};
  std::vector<ParameterGroup> groups;
  Loss loss = Loss::kCrossEntropy;
  // The output that the loss is taken of. Empty: the one called logits, else the only one that
  // holds floats; docs/training.md has the whole rule.
  std::string target;
  float label_smoothing = 0;  // cross entropy only
  // The axis of the target that counts the classes, from the end where negative; where there is
  // none given, the shape of the labels tells it.
  std::optional<int64_t> class_axis;
  // Binary cross entropy only: what a label 1 counts. One number, or one for each class.
  std::vector<float> pos_weight;
  float clip_norm = 0;                  // of all gradients together; 0: no clipping
  std::vector<std::string> wrt_inputs;  // inputs that backward() differentiates by, too
  bool naive = false;                   // run op by op with the reference implementations
  // Bytes that a step may take: trained weights, frozen weights (a teacher's, too), the optimiser's
  // states, gradients, and what the backward pass needs of the forward pass. Where that is too
  // much, values are computed again instead of kept; the numbers stay the same bits. 0: no limit.
  // Not counted: data, the model as loaded, and evaluate() or predict() beside the steps.
  uint64_t memory = 0;
  // Trains adapters, named WEIGHT.lora_A and WEIGHT.lora_B. `trainable` other than {"*"} are then
  // parameters trained beside them.
  std::optional<Lora> lora;
};

struct SaveOptions {
  // Functions of a package that share a weight keep sharing it: what is trained changes in all of
  // them. With this the function gets weights of its own instead.
  bool only_function = false;
};

struct DistillOptions {
  float temperature = 2;
  // loss = (1 - alpha) cross entropy + alpha temperature^2 KL(teacher || student)
  float alpha = 0.5f;
  std::string target;  // the teacher's output, chosen by the same rule
};

// Inputs by name, with the labels as `labels`. {ids, labels}: int32 [batch, time] each, labels at
// the positions they are predicted from.
struct Batch {
  TensorMap tensors;
  Batch(Tensor input_ids, Tensor labels)
      : tensors{{"input_ids", std::move(input_ids)}, {"labels", std::move(labels)}} {}
  explicit Batch(TensorMap tensors) : tensors(std::move(tensors)) {}
};

struct StepResult {
  int64_t step = 0;      // 1 for the first
  double loss = 0;       // mean over the labels that count
  double grad_norm = 0;  // of all gradients together, before clipping
  float learning_rate = 0;
  int64_t tokens = 0;  // labels that count
};

struct Parameter {
  enum class Role : uint8_t {
    kWeight,
    kCompressed,  // a weight that is stored as something smaller
    kTie,         // another name of a weight that stands before
    kAdapter,     // a factor beside a weight
  };
  std::string name;  // as in the program
  Shape shape;
  DType stored = DType::kF32;  // in the package
  bool trained = false;
  std::string reason;  // why it is in or out
  Role role = Role::kWeight;
};

// A model in training. Not thread-safe. The wrapped model and its file stay as they are.
class MW_API StudentModel {
 public:
  explicit StudentModel(const CoreMLModelWrapper& model, const StudentOptions& options = {});
  ~StudentModel();
  StudentModel(StudentModel&&) noexcept;
  StudentModel& operator=(StudentModel&&) noexcept;

  // Its vocabulary and tokens must be the student's. Called before the first step.
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
  // name without an extension, a folder as Hugging Face PEFT has it. There `module_names`, a
  // .safetensors file of the model that the package was converted from, tells how its modules are
  // called.
  void save_adapter(const std::filesystem::path& path,
                    const std::filesystem::path& module_names = {}) const;
  // Either of the two.
  void load_adapter(const std::filesystem::path& path);

  struct Impl;
  [[nodiscard]] const Impl& impl() const { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace mw
