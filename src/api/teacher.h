// What a student and its teacher have in common, and how their logits lie beside each other.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "millwright/millwright.hpp"
#include "train/objective.h"

namespace mw {

// Throws where both have a tokenizer and an id is another token for the teacher.
void check_vocabularies(const CoreMLModelWrapper& student, const CoreMLModelWrapper& teacher);

// A model and the name of its logits, "" where they are to be found.
struct Speaker {
  const CoreMLModelWrapper& model;
  const std::string& target;
};
// For inputs of these shapes. Nothing where one of the two is no language model.
std::optional<train::TeacherLayout> layout_of_teacher(const Speaker& student,
                                                      const Speaker& teacher, const Shapes& shapes);

}  // namespace mw
