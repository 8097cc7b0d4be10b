// millwright._core.train: a whole run, and what it tells; millwright/_train.py gives it its
// manners.
#include "train.h"

#include <fmt/format.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "base/threads.h"
#include "millwright/training.hpp"
#include "settings.h"

namespace nb = nanobind;

namespace mw::python {
namespace {

// The run is without the GIL; whatever Python is told takes it for a moment. What Python raises,
// Ctrl-C included, goes through the run as an exception of an observer does.
class Observer final : public TrainingObserver {
 public:
  explicit Observer(nb::handle progress) : progress_(progress) {}

  void reading(const std::string& /*file*/, int64_t /*done*/, int64_t /*all*/) override {
    raise_signals();
  }
  void stepped(const TrainingProgress& progress) override {
    if (progress_.is_none()) return;
    const nb::gil_scoped_acquire held;
    if (progress_(progress).is(nb::bool_(false))) stops_ = true;
  }
  bool should_stop() override {
    raise_signals();
    return stops_;
  }

 private:
  static void raise_signals() {
    const nb::gil_scoped_acquire held;
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
  }

  nb::handle progress_;
  bool stops_ = false;
};

TrainingReport run(const CoreMLModelWrapper& model, const CoreMLModelWrapper* teacher,
                   nb::handle settings, nb::handle progress) {
  const TrainingSettings all = training_settings_of(settings);
  Observer observer(progress);
  expect_usable_after_fork();
  const nb::gil_scoped_release free;
  return teacher == nullptr ? train(model, all, observer) : distill(model, *teacher, all, observer);
}

std::vector<double> losses_of(const TrainingReport& report) {
  std::vector<double> losses;
  for (const StepRecord& record : report.steps) {
    if (record.loss) losses.push_back(*record.loss);
  }
  return losses;
}

template <std::filesystem::path TrainingReport::*member>
nb::object path_in(const TrainingReport& report) {
  const std::filesystem::path& path = report.*member;
  return path.empty() ? nb::none() : nb::cast(path);
}

void bind_record(nb::module_& m) {
  nb::class_<StepRecord>(m, "StepRecord")
      .def_ro("step", &StepRecord::step)
      .def_ro("loss", &StepRecord::loss)
      .def_ro("valid_loss", &StepRecord::valid_loss)
      .def_ro("grad_norm", &StepRecord::grad_norm)
      .def_ro("learning_rate", &StepRecord::learning_rate)
      .def_ro("tokens", &StepRecord::tokens)
      .def_ro("seconds", &StepRecord::seconds)
      .def_ro("memory", &StepRecord::memory);
  nb::class_<TrainingProgress>(m, "TrainingProgress")
      .def_prop_ro("step", [](const TrainingProgress& p) { return p.record.step; })
      .def_prop_ro("loss", [](const TrainingProgress& p) { return p.record.loss; })
      .def_ro("record", &TrainingProgress::record)
      .def_ro("steps", &TrainingProgress::steps)
      .def_ro("valid_loss", &TrainingProgress::valid_loss)
      .def_ro("per_second", &TrainingProgress::per_second)
      .def_ro("seconds_left", &TrainingProgress::seconds_left)
      .def("__repr__", [](const TrainingProgress& p) {
        return fmt::format("TrainingProgress(step {} of {}, loss {:.6g})", p.record.step, p.steps,
                           p.record.loss.value_or(0));
      });
}

void bind_report(nb::module_& m) {
  using Report = TrainingReport;
  nb::class_<Report>(m, "TrainingReport")
      .def_ro("interrupted", &Report::interrupted)
      .def_ro("stopped_early", &Report::stopped_early)
      .def_ro("objective", &Report::objective)
      .def_ro("step", &Report::step)
      .def_ro("written_step", &Report::written_step)
      .def_ro("steps", &Report::steps)
      .def_prop_ro("losses", &losses_of)
      .def_ro("loss", &Report::loss)
      .def_ro("valid_loss", &Report::valid_loss)
      .def_ro("best_loss", &Report::best_loss)
      .def_ro("best_step", &Report::best_step)
      .def_ro("test_loss", &Report::test_loss)
      .def_ro("tokens", &Report::tokens)
      .def_ro("seconds", &Report::seconds)
      .def_prop_ro("tokens_per_second", &Report::tokens_per_second)
      .def_ro("step_bytes", &Report::step_bytes)
      .def_ro("trained_numbers", &Report::trained_numbers)
      .def_ro("all_numbers", &Report::all_numbers)
      .def_prop_ro("output", &path_in<&Report::output>)
      .def_prop_ro("adapter", &path_in<&Report::adapter>)
      .def_prop_ro("checkpoint", &path_in<&Report::checkpoint>)
      .def_prop_ro("html", &path_in<&Report::html>)
      .def_ro("warnings", &Report::warnings)
      .def_ro("notes", &Report::notes)
      .def("__repr__", [](const Report& r) {
        return fmt::format("TrainingReport({} steps, loss {:.6g}{})", r.step, r.loss.value_or(0),
                           r.interrupted ? ", interrupted" : "");
      });
}

}  // namespace

void bind_train(nb::module_& m) {
  bind_record(m);
  bind_report(m);
  m.def("train", &run, nb::arg("model"), nb::arg("teacher").none(), nb::arg("settings"),
        nb::arg("progress").none());
}

}  // namespace mw::python
