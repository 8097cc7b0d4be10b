// places_of(): how many places a state has for what comes one after another.
//
//   b = concat((layer, 0, position, 0))                    with position known to a run only
//   y = slice_update(x = read_state(s), update = u, begin = b, ...)
//   write_state(input = s, data = y)                       =>  the extent of axis 2 of s
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "ir/program.h"

namespace mw::ops {

// The extent of the axis of state `name` along which the function writes a part at a begin that is
// no constant; the largest one of several. Nothing where it writes the whole state or parts at
// constant places.
std::optional<int64_t> places_of(const ir::Function& function, const std::string& name);

}  // namespace mw::ops
