// The C API of whole runs.
#include <limits>

#include "api/c_student.h"

using mw::c_api::answer_of;
using mw::c_api::expect_taken;
using mw::c_api::guarded;
using mw::c_api::pointers_to;
using mw::c_api::require;

namespace {

double number_of(const std::optional<double>& value) {
  return value.value_or(std::numeric_limits<double>::quiet_NaN());
}

mw_training_step step_of(const mw::StepRecord& record) {
  return {record.step,
          record.tokens,
          number_of(record.loss),
          number_of(record.valid_loss),
          number_of(record.grad_norm),
          number_of(record.learning_rate),
          record.seconds};
}

mw::TellProgress teller(mw_tell_progress progress, void* user) {
  if (progress == nullptr) return nullptr;
  return [progress, user](const mw::TrainingProgress& p) {
    const mw_training_progress told = {step_of(p.record), p.steps, number_of(p.valid_loss),
                                       p.per_second, p.seconds_left};
    return answer_of("progress", [&] { return progress(&told, user); }) == 0;
  };
}

struct Report {
  mw::TrainingReport report;
  std::string output, adapter, checkpoint, html;
  std::vector<mw_training_step> steps;
  std::vector<const char*> notes, warnings;
  mw_training_report view{};
};

void look_at(Report& r) {
  const mw::TrainingReport& report = r.report;
  r.output = report.output;
  r.adapter = report.adapter;
  r.checkpoint = report.checkpoint;
  r.html = report.html;
  for (const mw::StepRecord& record : report.steps) r.steps.push_back(step_of(record));
  r.notes = pointers_to(report.notes);
  r.warnings = pointers_to(report.warnings);
  r.view = {.interrupted = report.interrupted ? 1 : 0,
            .stopped_early = report.stopped_early ? 1 : 0,
            .step = report.step,
            .written_step = report.written_step,
            .best_step = report.best_step,
            .tokens = report.tokens,
            .loss = number_of(report.loss),
            .valid_loss = number_of(report.valid_loss),
            .best_loss = number_of(report.best_loss),
            .test_loss = number_of(report.test_loss),
            .seconds = report.seconds,
            .tokens_per_second = report.tokens_per_second(),
            .step_bytes = report.step_bytes,
            .trained_numbers = report.trained_numbers,
            .all_numbers = report.all_numbers,
            .objective = report.objective.c_str(),
            .output = r.output.c_str(),
            .adapter = r.adapter.c_str(),
            .checkpoint = r.checkpoint.c_str(),
            .html = r.html.c_str(),
            .steps = r.steps.data(),
            .step_count = r.steps.size(),
            .notes = r.notes.data(),
            .note_count = r.notes.size(),
            .warnings = r.warnings.data(),
            .warning_count = r.warnings.size(),
            .held = &r};
}

void give(mw::TrainingReport&& report, const mw_training_report** given) {
  if (given == nullptr) return;
  auto made = std::make_unique<Report>();
  made->report = std::move(report);
  look_at(*made);
  *given = &made.release()->view;
}

}  // namespace

mw_status mw_train(const mw_model* model, const mw_settings* settings, mw_tell_progress progress,
                   void* user, const mw_training_report** report) {
  return guarded([&] {
    require(model != nullptr && settings != nullptr,
            "mw_train: model and settings must not be NULL");
    expect_taken(settings->refused_by_training);
    give(mw::train(model->model, settings->training, teller(progress, user)), report);
  });
}

mw_status mw_distill(const mw_model* student, const mw_model* teacher, const mw_settings* settings,
                     mw_tell_progress progress, void* user, const mw_training_report** report) {
  return guarded([&] {
    require(student != nullptr && teacher != nullptr && settings != nullptr,
            "mw_distill: student, teacher and settings must not be NULL");
    expect_taken(settings->refused_by_training);
    give(mw::distill(student->model, teacher->model, settings->training, teller(progress, user)),
         report);
  });
}

void mw_training_report_free(const mw_training_report* report) {
  if (report != nullptr) delete static_cast<Report*>(report->held);
}
