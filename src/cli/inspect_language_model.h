// What `inspect` says of a language model.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "lm/finding.h"
#include "millwright/settings.hpp"

namespace mw::cli {

// Nothing where it is none or cannot be run; throws where roles are stated that it does not have.
std::optional<lm::Finding> language_model_of(const std::string& path, const LoadOptions& options);
void print_finding(const lm::Finding& finding);
nlohmann::json finding_json(const lm::Finding& finding);

}  // namespace mw::cli
