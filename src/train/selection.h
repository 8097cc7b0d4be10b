// select(): which parameters of a function the globs of StudentOptions::trainable take in.
#pragma once

#include <string>
#include <vector>

#include "millwright/parameter.hpp"
#include "millwright/settings.hpp"
#include "train/parameter.h"

namespace mw::training {

struct Selection {
  std::vector<Parameter> trained;         // those that are tied are one
  std::vector<mw::Parameter> parameters;  // all, with the reason why each is in or out
};

// `last_layers` as in StudentOptions.
Selection select(const ir::Function& function, const std::vector<std::string>& globs,
                 int64_t last_layers = 0);

// Throws when a group's glob matches none of the parameters.
void check_groups(const std::vector<ParameterGroup>& groups,
                  const std::vector<Parameter>& parameters);

}  // namespace mw::training
