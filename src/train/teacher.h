// What a student and its teacher have in common, and how their logits lie beside each other.
#pragma once

#include <optional>
#include <string>

#include "lm/model.h"
#include "train/objective.h"

namespace mw::training {

// Throws where both have a tokenizer and an id is another token for the teacher.
void check_vocabularies(const lm::Model& student, const lm::Model& teacher);

// A model and the name of its logits, "" where they are to be found.
struct Speaker {
  const lm::Model& model;
  const std::string& target;
};
// For inputs of these shapes. Nothing where one of the two is no language model.
std::optional<TeacherLayout> layout_of_teacher(const Speaker& student, const Speaker& teacher,
                                               const Shapes& shapes);

}  // namespace mw::training
