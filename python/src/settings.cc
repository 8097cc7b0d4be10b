// Members of settings from attributes of the same names, each read as its type asks for.
#include "settings.h"

#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/string.h>

#include <limits>

#include "base/error.h"
#include "train/settings.h"

namespace nb = nanobind;

namespace mw::python {
namespace {

std::string type_of(nb::handle value) {
  return nb::cast<std::string>(value.type().attr("__name__"));
}

[[noreturn]] void wrong_type(const std::string& sentence) {
  throw nb::type_error(sentence.c_str());
}

bool is_a(nb::handle value, const char* name) {
  for (nb::handle base : value.type().attr("__mro__")) {
    if (nb::cast<std::string>(base.attr("__name__")) == name) return true;
  }
  return false;
}

// Where it is a setting of its own, each face may spell it.
std::string told(const std::string& path) {
  return path.find(':') == std::string::npos ? setting(path) : path;
}

// Reads one value; `path` is how messages call it: "lora: rank".
template <class T>
void read(const std::string& path, nb::handle from, T& to);

void read_whole(const std::string& path, nb::handle from, auto& to) {
  using T = std::remove_reference_t<decltype(to)>;
  const nb::object whole = nb::steal(PyNumber_Index(from.ptr()));
  if (!whole.is_valid()) {
    PyErr_Clear();
    fail(ErrorCode::kInvalidArgument, "{}: expected a whole number, got {}", told(path),
         nb::cast<std::string>(nb::repr(from)));
  }
  if (nb::try_cast(whole, to)) return;
  fail(ErrorCode::kInvalidArgument, "{}: expected a whole number from {} to {}, got {}", told(path),
       std::numeric_limits<T>::min(), std::numeric_limits<T>::max(),
       nb::cast<std::string>(nb::str(whole)));
}

float number_of(const std::string& path, nb::handle from) {
  const double number = PyFloat_AsDouble(from.ptr());
  if (number != -1 || PyErr_Occurred() == nullptr) return static_cast<float>(number);
  PyErr_Clear();
  wrong_type(fmt::format("{}: expected a number, got {}", path, type_of(from)));
}

std::string text_of(const std::string& path, nb::handle from) {
  if (nb::isinstance<nb::str>(from)) return nb::cast<std::string>(from);
  wrong_type(fmt::format("{}: expected a string, got {}", path, type_of(from)));
}

std::filesystem::path path_of(const std::string& path, nb::handle from) {
  std::filesystem::path read;
  if (nb::try_cast(from, read)) return read;
  wrong_type(fmt::format("{}: expected a path, got {}", path, type_of(from)));
}

// A lone string is a sequence of its letters, which nobody means; a lone number is a list of one.
template <class T>
void read_list(const std::string& path, nb::handle from, std::vector<T>& to) {
  if (std::is_same_v<T, std::string> && nb::isinstance<nb::str>(from)) {
    wrong_type(fmt::format("{}: expected a list of strings, got the string {}", path,
                           nb::cast<std::string>(nb::repr(from))));
  }
  to.clear();
  const nb::object all = nb::steal(PyObject_GetIter(from.ptr()));
  if (!all.is_valid()) {
    PyErr_Clear();
    return read(path, from, to.emplace_back());
  }
  for (nb::handle one : nb::iter(from)) read(path, one, to.emplace_back());
}

template <class S>
void read_members(const std::string& path, nb::handle from, S& to) {
  S::each(to, [&](const std::string& name, auto& member, const auto&, const char*) {
    const std::string inner = path.empty() ? name : name == "kind" ? path : path + ": " + name;
    read(inner, from.attr(name.c_str()), member);
  });
}

void read_choice(const std::string& path, nb::handle from, Optimizer& to) {
  std::vector<std::string> names;
  bool found = false;
  const auto try_all = [&]<class... T>(std::variant<T...>*) {
    const auto try_one = [&]<class One>(One settings) {
      names.emplace_back(One::kName);
      if (found || !is_a(from, One::kName)) return;
      found = true;
      read_members("", from, settings);
      to = settings;
    };
    (try_one(T{}), ...);
  };
  try_all(&to);
  if (found) return;
  wrong_type(fmt::format("{}: expected {}, got {}", path, training::listed(names), type_of(from)));
}

template <class T>
void read(const std::string& path, nb::handle from, T& to) {
  if constexpr (std::is_same_v<T, bool>) {
    to = nb::cast<bool>(nb::bool_(from));
  } else if constexpr (std::is_same_v<T, float>) {
    to = number_of(path, from);
  } else if constexpr (std::is_integral_v<T>) {
    read_whole(path, from, to);
  } else if constexpr (std::is_same_v<T, std::string>) {
    to = text_of(path, from);
  } else if constexpr (std::is_same_v<T, std::filesystem::path>) {
    to = path_of(path, from);
  } else if constexpr (std::is_enum_v<T>) {
    const std::string objection = training::read(text_of(path, from), allowed::kAnything, to);
    if (!objection.empty()) fail(ErrorCode::kInvalidArgument, "{}: {}", told(path), objection);
  } else if constexpr (training::kIsOptional<T>) {
    if (!from.is_none()) read(path, from, to.emplace());
  } else if constexpr (training::kIsList<T>) {
    read_list(path, from, to);
  } else if constexpr (training::HasSettings<T>) {
    if (from.is_none()) return;
    if (!is_a(from, T::kName)) {
      wrong_type(fmt::format("{}: expected a {}, got {}", path, T::kName, type_of(from)));
    }
    read_members(path, from, to);
  } else {
    read_choice(path, from, to);
  }
}

}  // namespace

LoadOptions load_options_of(nb::handle options) {
  LoadOptions read;
  read_members("", options, read);
  return read;
}

StudentOptions student_options_of(nb::handle options) {
  StudentOptions read;
  read_members("", options, read);
  return read;
}

TrainingSettings training_settings_of(nb::handle settings) {
  TrainingSettings read;
  read_members("", settings.attr("run"), read.run);
  read.student = student_options_of(settings.attr("student"));
  read_members("", settings.attr("distill"), read.distill);
  return read;
}

GenerationSettings generation_settings_of(nb::handle settings) {
  GenerationSettings read;
  read_members("", settings, read);
  return read;
}

}  // namespace mw::python
