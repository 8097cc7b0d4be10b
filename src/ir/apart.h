// kApart: an attribute of ops, for plans.
#pragma once

#include <string_view>

namespace mw::ir {

// The results of an op that has it are values of their own, never made a part of the op that uses
// them, as if there were further uses.
inline constexpr std::string_view kApart = "mw.apart";

}  // namespace mw::ir
