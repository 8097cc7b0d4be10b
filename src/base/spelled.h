// Settings in texts that are no errors.
#pragma once

#include <string>
#include <string_view>

#include "millwright/error.hpp"

namespace mw {

// A text with the settings that setting() put there as `spelling` has them; one printable line.
std::string spelled(std::string_view text, const Error::Spelling& spelling);

}  // namespace mw
