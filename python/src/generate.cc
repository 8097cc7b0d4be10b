// millwright._core.generate: a text continued, and what came of it; millwright/_model.py gives it
// its manners.
#include "generate.h"

#include <fmt/format.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "api/generate.h"
#include "base/threads.h"
#include "settings.h"

namespace nb = nanobind;

namespace mw::python {
namespace {

// Without the GIL, which the callback and the look for signals take for a moment. What Python
// raises, Ctrl-C included, goes through the loop as an exception of the callback does.
Generation run(const CoreMLModelWrapper& model, const std::vector<int32_t>& prompt,
               nb::handle settings, nb::handle on_text) {
  const GenerationSettings all = generation_settings_of(settings);
  lm::GeneratorHooks hooks;
  if (!on_text.is_none()) {
    hooks.on_text = [on_text](const std::string& piece) {
      const nb::gil_scoped_acquire held;
      return !on_text(piece).is(nb::bool_(false));
    };
  }
  hooks.may_run = [](int64_t /*tokens*/) {
    const nb::gil_scoped_acquire held;
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
    return true;
  };
  expect_usable_after_fork();
  const nb::gil_scoped_release free;
  return generated(model, prompt, all, hooks);
}

const char* end_of(const Generation& g) {
  return Choices<GenerationEnd>::kNames.at(static_cast<size_t>(g.end));
}

}  // namespace

void bind_generate(nb::module_& m) {
  nb::class_<Generation>(m, "Generation")
      .def_ro("text", &Generation::text)
      .def_ro("ids", &Generation::ids)
      .def_prop_ro("end", &end_of)
      .def_ro("reason", &Generation::reason)
      .def_ro("prompt_tokens", &Generation::prompt_tokens)
      .def_ro("reused_tokens", &Generation::reused_tokens)
      .def_ro("first_token_seconds", &Generation::first_token_seconds)
      .def_ro("seconds", &Generation::seconds)
      .def_prop_ro("tokens_per_second", &Generation::tokens_per_second)
      .def_ro("notes", &Generation::notes)
      .def("__str__", [](const Generation& g) { return g.text; })
      .def("__repr__", [](const Generation& g) {
        return fmt::format("Generation({} tokens, {})", g.ids.size(), g.reason);
      });
  m.def("generate", &run, nb::arg("model"), nb::arg("prompt"), nb::arg("settings"),
        nb::arg("on_text").none());
}

}  // namespace mw::python
