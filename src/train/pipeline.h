// The pipelines of training: what a model goes through until it is the program of a step.
#pragma once

#include <memory>
#include <vector>

#include "exec/session.h"
#include "passes/pipeline.h"
#include "train/memory.h"
#include "train/program.h"

namespace mw::training {

std::vector<passes::Listing> pipelines();

// A model as it is trained: with states in the place of parameters. Throws where none
// of the chosen parameters is there.
struct Student {
  std::unique_ptr<ir::Function> function;
  Lifted lifted;  // without the function
};
Student student_of(const ir::Function& source, const std::vector<Parameter>& chosen,
                   const passes::Numerics& numerics, const passes::Supervision& supervision);
// The signature of a whole text that goes through the calls of such a function; its body is of one
// call.
std::unique_ptr<ir::Function> text_student_of(const ir::Function& called, const TextCalls& calls,
                                              const passes::Supervision& supervision);
// A teacher as it is run beside a student.
std::unique_ptr<ir::Function> teacher_of(const ir::Function& source,
                                         const passes::Numerics& numerics,
                                         const passes::Supervision& supervision);

// What follows is for concrete shapes of the arguments of `function`, one of the two or a signature
// of theirs.

// To be run as it is.
std::unique_ptr<ir::Function> prediction_at(const Recipe& recipe, const ir::Function& function,
                                            const Shapes& shapes);
// In a form that gradients pass through: loops of known length are unrolled; what is read from a
// list or a state after it was written is the value that was written.
std::unique_ptr<ir::Function> forward_at(const Recipe& recipe, const ir::Function& function,
                                         const Shapes& shapes);
// The recipe's teacher, to stand within a program.
std::unique_ptr<ir::Function> teacher_at(const Recipe& recipe, const Shapes& shapes);

// The program of a kind, whose signature_of() is given. Throws when an output that the recipe names
// does not exist, and what objective_of() and autodiff throw.
std::unique_ptr<ir::Function> compose(const Recipe& recipe, const ir::Function& signature,
                                      Kind kind, const Shapes& shapes);
// The same program within a limit of memory.
std::unique_ptr<ir::Function> fitted(const Recipe& recipe, const ir::Function& program,
                                     const MemoryLimit& limit, const plan::Platform& platform,
                                     const exec::Planner& planner);

}  // namespace mw::training
