// Programs of training: forward pass, loss, backward pass and update composed into one function;
// what they are made of, and how their inputs and results are called.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "millwright/settings.hpp"
#include "passes/precision.h"
#include "train/lift.h"
#include "train/objective.h"
#include "train/optimizer.h"
#include "train/text_calls.h"

namespace mw::training {

// What a program of training adds to a model goes by names that the model leaves free: a model may
// have an input `learning_rate` or a value `count` of its own.
class FreeNames {
 public:
  FreeNames() = default;
  explicit FreeNames(const ir::Function& model);
  // `wanted`, or that with a number behind it; always the same.
  [[nodiscard]] std::string of(const std::string& wanted) const;

 private:
  std::set<std::string> taken_;
};

// Where a program has from what a teacher says.
enum class Teaching : uint8_t {
  kNone,
  kInside,  // it is computed within the program, from the student's inputs
  kLogits,  // an input holds its logits
  kTop,     // inputs hold its likeliest classes, and what all others have together
};

// What a program of training is composed from. Everything outlives it.
struct Recipe {
  const ir::Catalog* catalog = nullptr;
  passes::Watch* watch = nullptr;  // may be null
  // Whether the device has a kernel for an op; null: every op is one of the reference's.
  std::function<bool(const ir::Operation&)> covers;
  const Lifted* lifted = nullptr;
  const ir::Function* student = nullptr;  // the lifted function in the dtype it is computed in
  FreeNames names;                        // beside those of the student
  std::string target;                     // an output of the student
  // Not null: `student` has the signature of a whole text, of which each number of tokens makes
  // calls of `called`, the lifted function in the dtype it is computed in.
  const TextCalls* calls = nullptr;
  const ir::Function* called = nullptr;
  LossSettings loss;  // the class axis as objective_for() found it
  Teaching teaching = Teaching::kNone;
  const ir::Function* teacher = nullptr;  // kInside: in the same dtype
  std::string teacher_target;
  // By the shapes of a batch; null: the shapes of the logits tell.
  std::function<std::optional<TeacherLayout>(const Shapes&)> teacher_layout;
  double temperature = 1, alpha = 0;
  const UpdateRule* rule = nullptr;
  std::vector<ParameterGroup> groups;
  double clip_norm = 0;
  std::vector<std::string> wrt_inputs;
  passes::Numerics numerics;  // that it is computed in

  [[nodiscard]] DType dtype() const { return numerics.values; }
  [[nodiscard]] passes::Supervision supervision() const { return {*catalog, watch}; }
  // State of a parameter that the optimiser keeps, or of its accumulated gradient (kSum).
  [[nodiscard]] std::string state_name(const Parameter& parameter, const std::string& kept) const {
    return names.of(parameter.name + "_" + kept);
  }
};

// Loss and count are the first two results.
enum class Kind : uint8_t {
  kForward,     // -> the outputs of the model
  kEvaluate,    // -> loss, count: sums over the labels that count
  kGradients,   // -> loss, count, grad_N of parameter N and grad_input_N of input N: of the mean
                // loss
  kAccumulate,  // -> loss, count; adds gradients of the sum to the states kSum
  // What follows updates nothing where the norm is not finite.
  kApply,  // divides the states kSum by `count` (an input), updates, clears them; -> norm
  kStep,   // -> loss, count, norm; updates, unless the loss is not finite or no label counts
};

// Inputs and results beside those of the model; they go by Recipe::names.
inline constexpr const char* kLabels = "labels";
inline constexpr const char* kLearningRate = "learning_rate";
inline constexpr const char* kCount = "count";
inline constexpr const char* kLossSum = "loss_sum";
inline constexpr const char* kNorm = "grad_norm";
inline constexpr const char* kSum = "sum";  // of gradients, kept beside a parameter
// fp32, as ops::Taught has them: [labels.., classes] and [labels..].
inline constexpr const char* kTeacherClasses = "teacher_classes";
inline constexpr const char* kTeacherRest = "teacher_rest";
std::string gradient_name(size_t parameter);
std::string input_gradient_name(size_t input);

// What a batch of these shapes, labels included, is trained for.
Objective objective_for(const Recipe& recipe, const Shapes& shapes);

// Arguments and states of a program. Labels come in the shape that an Objective says.
std::unique_ptr<ir::Function> signature_of(const Recipe& recipe, Kind kind);

}  // namespace mw::training
