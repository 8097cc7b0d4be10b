// What inspect says of a model in parts.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "package/package.h"

namespace mw::cli {

// ".mlpackage", or "4 parts".
std::string form_of(const package::Model& model);
void print_parts(const package::Parts& parts);
nlohmann::json parts_json(const package::Parts& parts);

}  // namespace mw::cli
