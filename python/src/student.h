// What core.cc takes from student.cc.
#pragma once

#include <nanobind/nanobind.h>

namespace mw::python {

// Adds Student, StepResult and Parameter to the module.
void bind_student(nanobind::module_& m);

}  // namespace mw::python
