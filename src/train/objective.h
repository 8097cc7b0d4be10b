// What a run minimises: read from what the target output is made of and from the labels' shape.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "millwright/settings.hpp"
#include "ops/loss/ends.h"
#include "ops/loss/loss.h"

namespace mw::training {

struct LossSettings {
  Loss loss = Loss::kCrossEntropy;
  double label_smoothing = 0;
  std::optional<int64_t> class_axis;  // from the end where negative; nothing: the labels tell
  std::vector<float> pos_weight;
};

// The tensor that a loss is taken of; of a classifier, the probabilities before it.
struct Target {
  std::string name;            // of the output
  ir::Value* value = nullptr;  // static
  ops::End end;
  [[nodiscard]] const Shape& shape() const { return value->type.shape(); }
};
// Throws where `output` is no tensor of floats and of no classifier.
Target target_of(const std::string& name, ir::Value* output, const ir::Catalog& catalog);
// The output of that name; throws where there is none. `whose`: "model", for the error.
ir::Value* output_named(const ir::Function& function, const std::string& name, const char* whose);

struct Objective {
  std::string text;                   // "cross entropy of 'logits', over axis 1, 3 classes"
  std::optional<int64_t> class_axis;  // of the target
  int64_t classes = 0;                // that labels choose from; 0: they are no indices
  Shape labels;                       // as the programs of training take them; of equal count
  // Whether the target's end does not tell logits from probabilities: its numbers have to.
  bool ends_unknown = false;
};
// Throws invalid_argument where loss, target and labels do not go together, or go together in more
// than one way. `declared` is the type of the target before the model was specialised. Without
// labels the target alone tells.
Objective objective_of(const LossSettings& settings, const Target& target, const ir::Type& declared,
                       const std::optional<Shape>& labels);

// The logits that cross entropy is of, with the classes on the last axis.
ir::Value* logits_of(ir::Builder& b, const Target& target, int64_t class_axis);
// How a teacher's logits lie beside the student's, where more is known than the shapes tell.
struct TeacherLayout {
  int64_t class_axis = -1;
  // The teacher's [positions, rows] or [rows, positions] where the student's are the other way
  // round; empty: they lie in the same order.
  Shape turned;
};
// The logits of a teacher in the shape of the student's: [.., classes].
ir::Value* teacher_logits_of(ir::Builder& b, const Target& teacher, const Shape& student,
                             const std::optional<int64_t>& class_axis,
                             const std::optional<TeacherLayout>& layout);
// `settings.class_axis` and the labels are those of an Objective.
ops::LossValue loss_of(ir::Builder& b, const LossSettings& settings, const Target& target,
                       ir::Value* labels, DType dtype);

}  // namespace mw::training
