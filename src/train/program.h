// Programs of training: forward pass, loss, backward pass and update composed into one function.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "millwright/settings.hpp"
#include "train/lift.h"
#include "train/objective.h"
#include "train/optimizer.h"

namespace mw::train {

// What a program of training is composed from. Everything outlives it.
struct Recipe {
  const ir::Catalog* catalog = nullptr;
  const Lifted* lifted = nullptr;
  const ir::Function* student = nullptr;  // the lifted function in the dtype it is computed in
  std::string target;                     // an output of the student
  LossSettings loss;                      // the class axis as objective_for() found it
  const ir::Function* teacher = nullptr;  // in the same dtype; null: none
  std::string teacher_target;
  // By the shapes of a batch; null: the shapes of the logits tell.
  std::function<std::optional<TeacherLayout>(const Shapes&)> teacher_layout;
  double temperature = 1, alpha = 0;
  const UpdateRule* rule = nullptr;
  std::vector<ParameterGroup> groups;
  double clip_norm = 0;
  std::vector<std::string> wrt_inputs;
  DType dtype = DType::kF32;  // that it is computed in
};

enum class Kind : uint8_t {
  kForward,     // -> the outputs of the model
  kEvaluate,    // -> loss, count: sums over the labels that count
  kGradients,   // -> loss, count, grad_N of parameter N and grad_input_N of input N: of the mean
                // loss
  kAccumulate,  // -> loss, count; adds gradients of the sum to the states *_sum
  // What follows updates nothing where the norm is not finite.
  kApply,  // divides *_sum by `count` (an input), updates, clears them; -> norm
  kStep,   // -> loss, count, norm; updates, unless the loss is not finite or no label counts
};

// Names of inputs and results beside those of the model.
inline constexpr const char* kLabels = "labels";
inline constexpr const char* kLearningRate = "learning_rate";
inline constexpr const char* kCount = "count";
inline constexpr const char* kLossSum = "loss_sum";
inline constexpr const char* kNorm = "grad_norm";
std::string gradient_name(size_t parameter);
std::string input_gradient_name(size_t input);
// State of a parameter that the optimiser keeps, or of its accumulated gradient ("sum").
std::string state_name(const Parameter& parameter, const std::string& kept);

// What a batch of these shapes, labels included, is trained for.
Objective objective_for(const Recipe& recipe, const Shapes& shapes);

// Arguments and states of a program. Labels come in the shape that an Objective says.
std::unique_ptr<ir::Function> signature_of(const Recipe& recipe, Kind kind);
// The program for concrete shapes of the student's inputs and the labels. Throws when an output
// that the recipe names does not exist, and what objective_of() and autodiff throw.
std::unique_ptr<ir::Function> compose(const Recipe& recipe, const ir::Function& signature,
                                      Kind kind, const Shapes& shapes);

}  // namespace mw::train
