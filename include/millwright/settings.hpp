// Settings of training: plain structs, apart from the classes that take them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "millwright/tensor.hpp"

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

}  // namespace mw
