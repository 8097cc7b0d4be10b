// millwright._core.Student: StudentModel as a Python class; millwright/_student.py gives it its
// manners.
#include "student.h"

#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <mutex>

#include "api/impl.h"
#include "arrays.h"
#include "base/error.h"
#include "base/threads.h"
#include "millwright/training.hpp"
#include "settings.h"
#include "train/settings.h"
#include "train/student.h"

namespace nb = nanobind;

namespace mw::python {
namespace {

using Arrays = std::map<std::string, Array>;

// A StudentModel is not thread-safe and its calls run without the GIL: one call after the other.
struct Student {
  StudentModel model;
  std::mutex mutex;
  bool names_are_numbers;  // of classes

  Student(const CoreMLModelWrapper& from, const StudentOptions& options)
      : model(from, options), names_are_numbers(student_of(model).classes().are_numbers()) {}

  template <class F>
  auto alone(const F& f) {
    expect_usable_after_fork();
    const nb::gil_scoped_release free;
    const std::lock_guard lock(mutex);
    return f(model);
  }
};

void make_student(Student* place, const CoreMLModelWrapper& model, nb::handle settings) {
  const StudentOptions options = student_options_of(settings);
  const nb::gil_scoped_release free;
  new (place) Student(model, options);
}

TensorMap tensors_of(const Arrays& arrays, const char* what) {
  TensorMap tensors;
  for (const auto& [name, array] : arrays) {
    tensors[name] = tensor_of(array, fmt::format("{} '{}'", what, name));
  }
  return tensors;
}

nb::dict arrays_of(const TensorMap& tensors) {
  nb::dict arrays;
  for (const auto& [name, tensor] : tensors) arrays[name.c_str()] = array_of(tensor);
  return arrays;
}

StepResult training_step(Student& student, const std::vector<Arrays>& given) {
  std::vector<Batch> batches;
  for (const Arrays& arrays : given) batches.emplace_back(tensors_of(arrays, "input"));
  return student.alone([&](StudentModel& model) { return model.training_step(batches); });
}

nb::tuple backward(Student& student, const Arrays& arrays) {
  const Batch batch(tensors_of(arrays, "input"));
  StepResult result;
  const TensorMap gradients =
      student.alone([&](StudentModel& model) { return model.backward(batch, &result); });
  return nb::make_tuple(arrays_of(gradients), result);
}

std::string objective(Student& student, const Arrays& arrays) {
  const Batch batch(tensors_of(arrays, "input"));
  return student.alone([&](StudentModel& model) { return model.objective(batch); });
}

// Strings, or integers where labels are these and no indices.
nb::list class_labels(Student& student) {
  nb::list classes;
  for (const std::string& name : student.model.class_labels()) {
    if (student.names_are_numbers) {
      classes.append(nb::int_(nb::str(name.c_str())));
    } else {
      classes.append(nb::str(name.c_str(), name.size()));
    }
  }
  return classes;
}

StepResult evaluate(Student& student, const Arrays& arrays) {
  const Batch batch(tensors_of(arrays, "input"));
  return student.alone([&](StudentModel& model) { return model.evaluate(batch); });
}

nb::dict predict(Student& student, const Arrays& arrays) {
  const TensorMap inputs = tensors_of(arrays, "input");
  return arrays_of(student.alone([&](StudentModel& model) { return model.predict(inputs); }));
}

void bind_results(nb::module_& m) {
  nb::class_<StepResult>(m, "StepResult")
      .def_ro("step", &StepResult::step)
      .def_ro("loss", &StepResult::loss)
      .def_ro("grad_norm", &StepResult::grad_norm)
      .def_ro("learning_rate", &StepResult::learning_rate)
      .def_ro("tokens", &StepResult::tokens)
      .def("__repr__", [](const StepResult& r) {
        return fmt::format("StepResult(step={}, loss={:.6g}, grad_norm={:.6g}, tokens={})", r.step,
                           r.loss, r.grad_norm, r.tokens);
      });
  nb::class_<Parameter>(m, "Parameter")
      .def_ro("name", &Parameter::name)
      .def_ro("shape", &Parameter::shape)
      .def_prop_ro("dtype", [](const Parameter& p) { return std::string(name_of(p.stored)); })
      .def_ro("trained", &Parameter::trained)
      .def_ro("reason", &Parameter::reason)
      .def("__repr__", [](const Parameter& p) {
        return fmt::format("Parameter('{}', {} {}, {}: {})", p.name, name_of(p.stored),
                           to_string(p.shape), p.trained ? "trained" : "not trained", p.reason);
      });
}

// What reads and writes files.
void bind_files(nb::class_<Student>& student) {
  student
      .def("save_weights",
           [](Student& s, const std::filesystem::path& path) {
             s.alone([&](StudentModel& model) { model.save_weights(path); });
           })
      .def("load_weights",
           [](Student& s, const std::filesystem::path& path) {
             s.alone([&](StudentModel& model) { model.load_weights(path); });
           })
      .def("save_checkpoint",
           [](Student& s, const std::filesystem::path& path) {
             s.alone([&](StudentModel& model) { model.save_checkpoint(path); });
           })
      .def("load_checkpoint",
           [](Student& s, const std::filesystem::path& path) {
             s.alone([&](StudentModel& model) { model.load_checkpoint(path); });
           })
      .def("save_adapter",
           [](Student& s, const std::filesystem::path& path, const std::filesystem::path& names,
              const std::string& format) {
             std::optional<AdapterFormat> chosen;
             if (!format.empty()) {
               const std::string objection = training::read(format, allowed::kAnything, chosen);
               if (!objection.empty()) {
                 mw::fail(ErrorCode::kInvalidArgument, "format: {}", objection);
               }
             }
             s.alone([&](StudentModel& model) { model.save_adapter(path, names, chosen); });
           })
      .def("load_adapter",
           [](Student& s, const std::filesystem::path& path, const std::filesystem::path& names) {
             s.alone([&](StudentModel& model) { model.load_adapter(path, names); });
           })
      .def("save", [](Student& s, const std::filesystem::path& path, bool only_function) {
        return s.alone([&](StudentModel& model) {
          return model.save(path, {.only_function = only_function});
        });
      });
}

}  // namespace

void bind_student(nb::module_& m) {
  bind_results(m);
  nb::class_<Student> student(m, "Student");
  student.def("__init__", &make_student)
      .def("set_teacher",
           [](Student& s, const CoreMLModelWrapper& teacher, double temperature, double alpha,
              const std::string& target, const std::string& cache, int64_t top_k) {
             s.alone([&](StudentModel& model) {
               model.set_teacher(teacher, {static_cast<float>(temperature),
                                           static_cast<float>(alpha), target, cache, top_k});
             });
           })
      .def("training_step", &training_step)
      .def("backward", &backward)
      .def("evaluate", &evaluate)
      .def("objective", &objective)
      .def("class_labels", &class_labels)
      .def("predict", &predict)
      .def("step_bytes",
           [](Student& s) {
             return s.alone([](StudentModel& model) { return model.step_bytes(); });
           })
      .def("parameters",
           [](Student& s) {
             return s.alone([](StudentModel& model) { return model.parameters(); });
           })
      .def("get_parameter",
           [](Student& s, const std::string& name) {
             return array_of(
                 s.alone([&](StudentModel& model) { return model.get_parameter(name); }));
           })
      .def("set_parameter",
           [](Student& s, const std::string& name, const Array& value) {
             const Tensor given = tensor_of(value, fmt::format("parameter '{}'", name));
             s.alone([&](StudentModel& model) { model.set_parameter(name, given); });
           })
      .def("state",
           [](Student& s) {
             return arrays_of(s.alone([](StudentModel& model) { return model.state(); }));
           })
      .def("load_state",
           [](Student& s, const Arrays& state) {
             const TensorMap tensors = tensors_of(state, "training state");
             s.alone([&](StudentModel& model) { model.load_state(tensors); });
           })
      .def("notes",
           [](Student& s) { return s.alone([](StudentModel& model) { return model.notes(); }); });
  bind_files(student);
}

}  // namespace mw::python
