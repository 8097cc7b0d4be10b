// Generation for Python.
#pragma once

#include <nanobind/nanobind.h>

namespace mw::python {

void bind_generate(nanobind::module_& m);

}  // namespace mw::python
