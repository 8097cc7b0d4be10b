// option_of(): what a setting is called on a command line.
#pragma once

#include <string>
#include <string_view>

#include "millwright/error.hpp"

namespace mw::cli {

// "--seq-len" of seq_len; a few have shorter names: "--lr" of learning_rate.
std::string option_of(std::string_view setting);
// The error's sentence with its settings as options.
std::string told(const Error& error);

}  // namespace mw::cli
