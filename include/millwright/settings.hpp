// Settings of loading and training: plain structs, apart from the classes that take them.
//
// Each setting is written once: each() of its struct shows a visitor its name, the member, what is
// allowed and what it means. Checks, options of the command line and keys of YAML files, the
// setters of the C API, the Python classes, the tables of reports and of docs/settings.md follow
// from that.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "millwright/load_options.hpp"
#include "millwright/optimizers.hpp"
#include "millwright/setting.hpp"
#include "millwright/tensor.hpp"

namespace mw {

// Factor on the optimiser's learning rate, by step.
struct Schedule {
  enum class Kind : uint8_t { kConstant, kLinear, kCosine, kStep };
  Kind kind = Kind::kConstant;
  int64_t warmup_steps = 0;  // linear from `initial_factor`
  // Where the factor reaches `final_factor`; not needed for kConstant and kStep.
  int64_t total_steps = 0;
  float initial_factor = 0, final_factor = 0;
  // Of kStep: the factor is multiplied by `decay_factor` every `decay_every` steps.
  float decay_factor = 0.1f;
  int64_t decay_every = 1000;
  // Of step 0, 1, ...
  [[nodiscard]] MW_API float factor(int64_t step) const;

  static constexpr const char* kName = "Schedule";
  static constexpr const char* kHelp = "a factor on the learning rate, by step";
  template <class Self, class Visitor>
  static void each(Self& self, const Visitor& v) {
    v("kind", self.kind, allowed::kAnything, "how the learning rate goes on after the warm-up");
    v("warmup_steps", self.warmup_steps, allowed::kAtLeastZero,
      "steps in which the learning rate rises");
    v("total_steps", self.total_steps, allowed::kAtLeastZero,
      "the step at which the learning rate has fallen (default: the last one of the run)");
    v("initial_factor", self.initial_factor, allowed::kAtLeastZero,
      "what it rises from, relative to its size");
    v("final_factor", self.final_factor, allowed::kAtLeastZero,
      "what it has fallen to, relative to its size");
    v("decay_factor", self.decay_factor, allowed::kAtLeastZero,
      "of step: what the learning rate is multiplied by");
    v("decay_every", self.decay_every, allowed::kCount, "of step: after how many steps, each time");
  }
};
template <>
struct Choices<Schedule::Kind> {
  static constexpr std::array kNames = {"constant", "linear", "cosine", "step"};
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
template <>
struct Choices<Loss> {
  static constexpr std::array kNames = {"cross_entropy", "mse", "output", "binary_cross_entropy"};
};

// Settings for the parameters whose names match a glob; the last match counts.
struct ParameterGroup {
  std::string glob;
  float learning_rate_factor = 1;
  std::optional<float> weight_decay;  // instead of the optimiser's

  static constexpr const char* kName = "ParameterGroup";
  static constexpr const char* kHelp =
      "settings for the parameters whose names match; the last match counts";
  template <class Self, class Visitor>
  static void each(Self& self, const Visitor& v) {
    v("glob", self.glob, allowed::kAnything, "of names of parameters");
    v("learning_rate_factor", self.learning_rate_factor, allowed::kAtLeastZero,
      "on the learning rate");
    v("weight_decay", self.weight_decay, allowed::kAtLeastZero, "instead of the optimiser's");
  }
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
  // Weights split into magnitude and direction (DoRA, Liu et al. 2024): each output of W + s B A is
  // brought to a length m of its own, which is trained, too. It begins as that of W.
  bool dora = false;

  static constexpr const char* kName = "Lora";
  static constexpr const char* kHelp =
      "adapters of Hu et al. 2021: y = W x becomes y = W x + (alpha / rank) B A x, and W stays";
  template <class Self, class Visitor>
  static void each(Self& self, const Visitor& v) {
    v("rank", self.rank, Allowed{.least = 1, .most = 65536}, "of the adapters that are trained");
    v("alpha", self.alpha, allowed::kAboveZero, "adapters count alpha / rank times");
    v("targets", self.targets, allowed::kAnything,
      "globs over names of weights of linear, matmul and conv without groups");
    v("seed", self.seed, allowed::kAtLeastZero, "of what A begins as");
    v("dora", self.dora, allowed::kAnything,
      "train a magnitude for each output of an adapted weight, too (DoRA, Liu et al. 2024)");
  }
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
  // Not counted: data, the model as loaded, a teacher that runs apart, and evaluate() or predict()
  // beside the steps.
  uint64_t memory = 0;
  // Computes again in the backward pass whatever makes a step take less; as with the least
  // `memory`.
  bool recompute = false;
  // Trains or adapts, of what stands in numbered layers by its name (layers_3_...), that of the
  // last so many; what stands in no layer only by a glob other than "*". -1: of all layers; 0: it
  // does not matter.
  int64_t last_layers = 0;
  // Truncated backpropagation through time, where a text goes through a model's cache in several
  // calls: gradients do not come back through what the cache held before a multiple of so many
  // tokens of the text. 0: they come back to its beginning.
  int64_t tbptt = 0;
  // Trains adapters, named WEIGHT.lora_A and WEIGHT.lora_B. `trainable` other than {"*"} are then
  // parameters trained beside them.
  std::optional<Lora> lora;

  static constexpr const char* kName = "StudentOptions";
  static constexpr const char* kHelp = "what a student learns with";
  template <class Self, class Visitor>
  static void each(Self& self, const Visitor& v) {
    v("optimizer", self.optimizer, Within{}, "how gradients change the weights");
    v("schedule", self.schedule, Within{}, "a factor on the learning rate, by step");
    v("trainable", self.trainable, allowed::kAnything,
      "globs over parameter names; * is what inspect lists as trainable");
    v("groups", self.groups, allowed::kAnything, "other settings for parameters whose names match");
    v("loss", self.loss, allowed::kAnything, "what is minimised; output: the target itself");
    v("target", self.target, allowed::kAnything,
      "the output that the loss is of, if not the logits");
    v("label_smoothing", self.label_smoothing, allowed::kBelowOne, "of cross entropy");
    v("class_axis", self.class_axis, allowed::kAnything,
      "axis of the target that counts the classes, below 0 from the end, if the labels do not "
      "tell");
    v("pos_weight", self.pos_weight, allowed::kAtLeastZero,
      "of binary cross entropy: what a label 1 counts, one number or one for each class");
    v("clip_norm", self.clip_norm, allowed::kAtLeastZero,
      "largest norm of the gradients together; 0: any");
    v("wrt_inputs", self.wrt_inputs, allowed::kAnything,
      "inputs that backward differentiates by, too");
    v("naive", self.naive, allowed::kAnything, "run op by op with the reference implementations");
    v("memory", self.memory, Allowed{.least = 0, .most = 0x1p62, .bytes = true},
      "what a step may take; what does not fit is computed again; 0: any");
    v("recompute", self.recompute, allowed::kAnything,
      "compute again in the backward pass whatever makes a step take less memory");
    v("last_layers", self.last_layers, Allowed{.least = -1, .most = 0x1p31},
      "train or adapt what stands in the last so many layers; -1: in layers; 0: anywhere");
    v("tbptt", self.tbptt, allowed::kCountOrNone,
      "where a text takes several calls: gradients do not come back through what the cache held "
      "before a multiple of so many tokens; 0: to its beginning");
    v("lora", self.lora, Within{"lora_"}, "train adapters; the model's own weights stay frozen");
  }
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
  // A file with predictions of the teacher: what is not in it yet is added, and what is in it the
  // teacher is not asked for again. It is of one teacher, temperature and `top_k`, and of a run's
  // data.
  std::filesystem::path cache;
  // What is kept there of each prediction: so many likeliest classes, and what all others have
  // together. 0: all classes.
  int64_t top_k = 64;

  static constexpr const char* kName = "DistillOptions";
  static constexpr const char* kHelp =
      "what a teacher counts: (1 - alpha) cross entropy + alpha temperature^2 KL(teacher || "
      "student)";
  template <class Self, class Visitor>
  static void each(Self& self, const Visitor& v) {
    v("temperature", self.temperature, allowed::kAboveZero,
      "of both models' predictions, as they are compared");
    v("alpha", self.alpha, allowed::kShare,
      "share of the teacher in the loss; the rest is cross entropy with the data");
    v("teacher_target", self.target, allowed::kAnything,
      "the teacher's logits, if not chosen as the student's");
    v("teacher_cache", self.cache, allowed::kAnything,
      "a file that keeps the teacher's predictions, so that each is computed once");
    v("teacher_top_k", self.top_k, allowed::kCountOrNone,
      "classes of a prediction that teacher_cache keeps, the likeliest; the others together (0: "
      "all)");
  }
};

}  // namespace mw
