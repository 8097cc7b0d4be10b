// ending_of(): what a language model's output ends in, as lm is told of it.
#pragma once

#include <string>

#include "ir/program.h"
#include "lm/logits.h"

namespace mw::training {

// `output`, a tensor of floats or the dictionary of a classifier, of a function whose types are
// static.
lm::Ending ending_of(const std::string& name, ir::Value* output);

}  // namespace mw::training
