// millwright._core: the C++ façade as Python classes; millwright/_model.py gives it its manners.
#include <nanobind/nanobind.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "arrays.h"
#include "base/error.h"
#include "generate.h"
#include "millwright/millwright.hpp"
#include "settings.h"
#include "student.h"
#include "train.h"

namespace nb = nanobind;

namespace mw::python {
namespace {

using Arrays = std::map<std::string, Array>;

const char* code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidModel:
      return "invalid_model";
    case ErrorCode::kInvalidArgument:
      return "invalid_argument";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kIo:
      return "io";
    case ErrorCode::kOutOfMemory:
      return "out_of_memory";
    case ErrorCode::kInternal:
      return "internal";
  }
  return "internal";
}

void raise(const std::exception_ptr& thrown, void* type) {
  try {
    std::rethrow_exception(thrown);
  } catch (...) {
    const std::optional<Error> known = known_error();
    if (!known) throw;
    const nb::handle error(static_cast<PyObject*>(type));
    const std::string sentence = known->spelled([](std::string_view name, bool is_subject) {
      return std::string(name) + (is_subject ? "" : "=");
    });
    nb::object instance = error(sentence);
    instance.attr("code") = code_name(known->code());
    instance.attr("setting") = known->setting();
    PyErr_SetObject(error.ptr(), instance.ptr());
  }
}

CoreMLModelWrapper load(const std::filesystem::path& path, nb::handle options) {
  const LoadOptions read = load_options_of(options);
  const nb::gil_scoped_release free;
  return CoreMLModelWrapper::load(path, read);
}

nb::dict predict(const CoreMLModelWrapper& model, const Arrays& arrays, State* state,
                 const std::vector<std::string>& taps) {
  TensorMap inputs, outputs;
  for (const auto& [name, array] : arrays) {
    inputs[name] = tensor_of(array, fmt::format("input '{}'", name));
  }
  {
    const nb::gil_scoped_release free;
    outputs = model.predict(inputs, state, taps);
  }
  nb::dict result;
  for (const auto& [name, tensor] : outputs) result[name.c_str()] = array_of(tensor);
  return result;
}

nb::object forward(const CoreMLModelWrapper& model, const Array& ids) {
  const Tensor given = tensor_of(ids, "input_ids");
  Tensor logits;
  {
    const nb::gil_scoped_release free;
    logits = model.forward(given);
  }
  return array_of(logits);
}

void bind_feature(nb::module_& m) {
  nb::class_<FeatureDescription>(m, "Feature")
      .def_ro("name", &FeatureDescription::name)
      .def_ro("kind", &FeatureDescription::kind)
      .def_prop_ro("dtype",
                   [](const FeatureDescription& f) { return std::string(name_of(f.dtype)); })
      .def_ro("shape", &FeatureDescription::shape)
      .def_ro("ranges", &FeatureDescription::ranges)
      .def_ro("enumerated", &FeatureDescription::enumerated)
      .def_ro("optional", &FeatureDescription::optional)
      .def_ro("description", &FeatureDescription::description);
}

void bind_tokenizer(nb::module_& m) {
  nb::class_<Tokenizer>(m, "Tokenizer")
      .def_static("from_file", &Tokenizer::from_file, nb::arg("path"))
      .def(
          "encode",
          [](const Tokenizer& t, const std::string& text, bool add) { return t.encode(text, add); },
          nb::arg("text"), nb::arg("add_special_tokens") = true)
      .def(
          "decode",
          [](const Tokenizer& t, const std::vector<int32_t>& ids, bool skip) {
            return t.decode(ids, skip);
          },
          nb::arg("ids"), nb::arg("skip_special_tokens") = true)
      .def_prop_ro("vocab_size", &Tokenizer::vocab_size)
      .def_prop_ro("end_of_text_ids", &Tokenizer::end_of_text_ids)
      .def_prop_ro("path", &Tokenizer::path)
      .def("__len__", &Tokenizer::vocab_size)
      .def("__repr__", [](const Tokenizer& t) {
        return fmt::format("Tokenizer('{}', {} tokens)", t.path(), t.vocab_size());
      });
}

void bind_state(nb::module_& m) {
  nb::class_<State>(m, "MLState")
      .def_prop_ro("names", &State::names)
      .def("reset", &State::reset)
      .def(
          "read_state",
          [](const State& state, const std::string& name) { return array_of(state.get(name)); },
          nb::arg("name"))
      .def(
          "_write",
          [](State& state, const std::string& name, const Array& value) {
            const Tensor given = tensor_of(value, fmt::format("state '{}'", name));
            const DType wanted = state.get(name).dtype();
            state.set(name, is_float(wanted) && given.dtype() != DType::kString ? given.to(wanted)
                                                                                : given);
          },
          nb::arg("name"), nb::arg("value"));
}

void bind_model(nb::module_& m) {
  using Model = CoreMLModelWrapper;
  nb::class_<Model>(m, "Model")
      .def("predict", &predict, nb::arg("inputs"), nb::arg("state").none(), nb::arg("taps"))
      .def("forward", &forward, nb::arg("ids"))
      .def("make_state", &Model::make_state)
      .def_prop_ro("tokenizer", &Model::tokenizer, nb::rv_policy::reference_internal)
      .def_prop_ro("inputs", &Model::inputs)
      .def_prop_ro("outputs", &Model::outputs)
      .def_prop_ro("states", &Model::states)
      .def_prop_ro("function", &Model::function)
      .def_prop_ro("functions", &Model::functions)
      .def_prop_ro("metadata", &Model::metadata)
      .def_prop_ro("path", [](const Model& model) { return model.path().string(); });
}

}  // namespace
}  // namespace mw::python

NB_MODULE(_core, m) {
  using namespace mw::python;  // NOLINT(google-build-using-namespace): a module's body is one scope
  nb::object error =
      nb::steal(PyErr_NewExceptionWithDoc("millwright.Error",
                                          "What went wrong, in one sentence. `code` is "
                                          "invalid_model, invalid_argument, unsupported, io,\n"
                                          "out_of_memory or internal.",
                                          PyExc_ValueError, nullptr));
  m.attr("Error") = error;
  nb::register_exception_translator(raise, error.ptr());
  bind_feature(m);
  bind_tokenizer(m);
  bind_state(m);
  bind_model(m);
  bind_student(m);
  bind_train(m);
  bind_generate(m);
  m.def("load", &load, nb::arg("path"), nb::arg("options"));
}
