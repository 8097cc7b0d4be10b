// What core.cc takes from train.cc.
#pragma once

#include <nanobind/nanobind.h>

namespace mw::python {

// Adds train(), TrainingProgress, TrainingReport and StepRecord to the module.
void bind_train(nanobind::module_& m);

}  // namespace mw::python
