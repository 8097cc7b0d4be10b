// Checks of numbers on the command line that the parser's own do not make.
#pragma once

#include <CLI/CLI.hpp>

namespace mw::cli {

// A number from `low` to `high`. NaN, which no comparison refuses, is none.
CLI::Validator number_in(double low, double high);
// A whole number that fits in 64 bits; the parser cuts larger ones down.
CLI::Validator seed_number();

}  // namespace mw::cli
