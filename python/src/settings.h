// Settings from the Python classes of millwright/_settings.py.
#pragma once

#include <nanobind/nanobind.h>

#include "millwright/settings.hpp"

namespace mw::python {

// `options` has an attribute for each member, as the class StudentOptions has. Throws mw::Error for
// values that no setting can have, TypeError for wrong kinds of things.
StudentOptions student_options_of(nanobind::handle options);

}  // namespace mw::python
