// inform_of(): how long a text took, and why it ended.
#pragma once

#include "millwright/generation.hpp"

namespace mw::cli {

// To stderr: the notes, a line each, and one line of facts.
void inform_of(const Generation& said);

}  // namespace mw::cli
