// Trainer: where what a teacher says comes from, batch by batch.
#include "base/error.h"
#include "base/plain_name.h"
#include "base/printable.h"
#include "train/pipeline.h"
#include "train/trainer.h"

namespace mw::training {

void Trainer::set_teacher(const ir::Function& teacher, const std::string& target,
                          double temperature, double alpha,
                          decltype(Recipe::teacher_layout) layout) {
  if (!engines_.empty()) {
    fail(ErrorCode::kInvalidArgument, "{}: expected before the first step", setting("teacher"));
  }
  if (recipe_.loss.loss != Loss::kCrossEntropy) {
    fail(ErrorCode::kInvalidArgument, "{}: expected cross entropy as the loss beside it",
         setting("teacher"));
  }
  teacher_ = teacher_of(teacher, options_.numerics, recipe_.supervision());
  teachers_end_is_known_ = false;
  recipe_.teaching = Teaching::kInside;
  recipe_.teacher = teacher_.get();
  recipe_.teacher_target = target;
  recipe_.teacher_layout = std::move(layout);
  recipe_.temperature = temperature;
  recipe_.alpha = alpha;
  text_.reset();
}

std::string Trainer::obstacle_within(const TensorMap& inputs) const {
  const auto& arguments = teacher_->body.arguments;
  for (const auto& argument : arguments) {
    if (!argument->type.is_state()) continue;
    return fmt::format("it has states ('{}')", printable(argument->name));
  }
  for (const auto& argument : arguments) {
    const std::string name = printable(argument->name);
    const auto found = inputs.find(argument->name);
    const ir::Value* ours = student_->find_argument(argument->name);
    if (found == inputs.end() || ours == nullptr) {
      std::string remedy;
      for (const auto& [other, tensor] : inputs) {
        if (plain_name(other) != plain_name(argument->name)) continue;
        remedy = fmt::format(" (converting it with {} {}={} gives it the student's name)",
                             setting("rename"), name, other);
      }
      return fmt::format("it takes '{}', which the student does not{}", name, remedy);
    }
    const auto given = ir::Type::tensor(ours->type.dtype(), found->second.shape());
    if (argument->type.dtype() == given.dtype() && ir::compatible(given, argument->type)) continue;
    return fmt::format("it takes '{}' as {}, and the student as {}", name, argument->type.str(),
                       given.str());
  }
  return "";
}

Trainer::EngineKey Trainer::key_of(Kind kind, const TensorMap& inputs) const {
  EngineKey key = {kind, has_text(inputs)};
  const bool learns = kind == Kind::kStep || kind == Kind::kAccumulate || kind == Kind::kGradients;
  if (!learns) return key;
  if (inputs.contains(named(kTeacherRest))) {
    key.teaching = Teaching::kTop;
  } else if (inputs.contains(named(kTeacherClasses))) {
    key.teaching = Teaching::kLogits;
  } else if (teacher_ != nullptr) {
    key.teaching = Teaching::kInside;
  }
  return key;
}

void Trainer::shape_teacher(TensorMap& inputs, const Objective& objective) const {
  const auto classes = inputs.find(named(kTeacherClasses));
  if (classes == inputs.end()) return;
  Shape shape = objective.labels;
  shape.push_back(objective.classes);
  Tensor& given = classes->second;
  if (given.dim(-1) != objective.classes || given.count() != count_of(shape)) {
    fail(ErrorCode::kInvalidArgument,
         "teacher: expected logits of shape {} as the student's, got {}; both need the same "
         "vocabulary",
         to_string(shape), to_string(given.shape()));
  }
  given = given.reshaped(shape);
  const auto rest = inputs.find(named(kTeacherRest));
  if (rest != inputs.end()) rest->second = rest->second.reshaped(objective.labels);
}

}  // namespace mw::training
