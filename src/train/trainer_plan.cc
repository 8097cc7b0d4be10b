// Trainer: plans of its programs as text.
#include "train/trainer.h"

namespace mw::training {

std::string Trainer::plan_text(Kind kind, Shapes inputs) {
  // Of which class axis the programs are has to be known before the first is made.
  if (kind != Kind::kForward && recipe_.loss.loss != Loss::kOutput) {
    inputs[named(kLabels)] = objective_at(inputs).labels;
  }
  EngineKey key = key_of(kind, {});
  key.of_texts = has_text(inputs);
  const Engine& e = engine(key);
  const ir::Function& signature = *e.signature;
  Shapes shapes;
  for (const auto& argument : signature.body.arguments) {
    if (!argument->type.is_tensor()) continue;
    const auto given = inputs.find(argument->name);
    shapes[argument->name] = given != inputs.end() ? given->second : Shape();
  }
  return e.session->plan_text(shapes);
}

}  // namespace mw::training
