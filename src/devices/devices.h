// The devices of this build, by name.
//
//   exec::Session session(*function, specialiser, devices::platform("cpu"));
#pragma once

#include <string_view>
#include <vector>

#include "plan/platform.h"

namespace mw::devices {

// Never empty; they live forever.
const std::vector<const plan::Backend*>& backends();

// The catalog and its plans for the device of that name. Throws invalid_argument with the names
// that there are.
plan::Platform platform(std::string_view device);

}  // namespace mw::devices
