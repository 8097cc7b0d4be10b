// parameter_groups(): the values of --group as settings of a StudentModel.
#pragma once

#include <string>
#include <vector>

#include "millwright/training.hpp"

namespace mw::cli {

// Each text is GLOB:lr=NUMBER,decay=NUMBER, one of the two or both: the learning rate instead of
// `learning_rate`, which it is told relative to, and the weight decay instead of the optimiser's.
std::vector<ParameterGroup> parameter_groups(const std::vector<std::string>& texts,
                                             float learning_rate);

}  // namespace mw::cli
