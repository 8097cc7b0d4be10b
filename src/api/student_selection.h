// select(): which parameters of a function the globs of StudentOptions::trainable take in.
#pragma once

#include <string>
#include <vector>

#include "millwright/training.hpp"
#include "train/parameter.h"

namespace mw {

struct Selection {
  std::vector<train::Parameter> trained;  // those that are tied are one
  std::vector<Parameter> parameters;      // all, with the reason why each is in or out
};

Selection select(const ir::Function& function, const std::vector<std::string>& globs);

// Throws when a group's glob matches none of the parameters.
void check_groups(const std::vector<ParameterGroup>& groups,
                  const std::vector<train::Parameter>& parameters);

}  // namespace mw
