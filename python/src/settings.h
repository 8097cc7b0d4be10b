// Settings from the Python classes of millwright/_settings.py.
#pragma once

#include <nanobind/nanobind.h>

#include "millwright/generation.hpp"
#include "millwright/run_settings.hpp"

namespace mw::python {

// They have an attribute for each member, as the classes of these names have. Throws mw::Error for
// values that no setting can have, TypeError for wrong kinds of things.
LoadOptions load_options_of(nanobind::handle options);
StudentOptions student_options_of(nanobind::handle options);
TrainingSettings training_settings_of(nanobind::handle settings);
GenerationSettings generation_settings_of(nanobind::handle settings);

}  // namespace mw::python
