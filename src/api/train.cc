// train() and distill(): what a run needs of packages, and the run itself.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "adapters/file.h"
#include "api/impl.h"
#include "api/run_outputs.h"
#include "base/error.h"
#include "devices/devices.h"
#include "millwright/training.hpp"
#include "ops/catalog.h"
#include "train/run.h"
#include "train/settings.h"
#include "train/summary.h"

namespace mw {
namespace {

using Rows = std::vector<std::pair<std::string, std::string>>;

class PackageFiles final : public training::RunFiles {
 public:
  PackageFiles(const CoreMLModelWrapper& model, const StudentModel& student,
               const TrainingSettings& settings)
      : model_(model), student_(student), run_(settings.run), adapter_(adapter_path(settings)) {}

  [[nodiscard]] std::string title() const override {
    return fmt::format("{} → {}", model_.path().filename().string(),
                       run_.output.filename().string());
  }
  std::vector<std::string> write() override {
    if (!adapter_.empty()) {
      const bool own = run_.adapter_format == AdapterFormat::kMillwright;
      student_.save_adapter(adapter_, own ? "" : run_.adapter_names, run_.adapter_format);
    }
    if (adapter_alone()) return {};
    return student_.save(run_.output, {.only_function = run_.only_function});
  }
  [[nodiscard]] std::shared_ptr<const lm::Model> before() const override {
    return shared_model(model_);
  }
  [[nodiscard]] std::shared_ptr<const lm::Model> written() const override {
    LoadOptions options;
    options.function = model_.function();
    options.device = model_.impl().options.device;
    options.tokenizer = model_.tokenizer().path();
    if (adapter_alone()) {
      options.adapter = adapter_;
      options.module_names = run_.adapter_names;
    }
    return shared_model(
        CoreMLModelWrapper::load(adapter_alone() ? model_.path() : run_.output, options));
  }

  [[nodiscard]] const std::filesystem::path& adapter() const { return adapter_; }
  [[nodiscard]] bool adapter_alone() const { return adapter_ == run_.output; }

 private:
  const CoreMLModelWrapper& model_;
  const StudentModel& student_;
  const RunSettings& run_;
  std::filesystem::path adapter_;
};

template <class Options>
void add_rows(const Options& options, Rows& rows) {
  for (const auto& [name, values] : training::values_of(options)) {
    const std::string text = fmt::format("{}", fmt::join(values, " "));
    if (!text.empty() && text != "false") rows.emplace_back(name, text);
  }
}

// What a report lists: all that counts, as it came to be.
Rows rows_of(const CoreMLModelWrapper& model, const CoreMLModelWrapper* teacher,
             TrainingSettings settings, const training::TrainingData& data) {
  if (data.train != nullptr) settings.run.batch_size = data.batch_size;
  if (data.seq_len > 0) settings.run.seq_len = data.seq_len;
  Rows rows = {{"model", model.path().string()}};
  if (teacher != nullptr) rows.emplace_back("teacher", teacher->path().string());
  add_rows(settings.run, rows);
  add_rows(settings.student, rows);
  if (teacher != nullptr) add_rows(settings.distill, rows);
  add_rows(model.impl().options, rows);
  return rows;
}

// What is usual is left out where checkpoints once did not tell it.
std::map<std::string, std::string> fixed_of(const TrainingSettings& settings) {
  std::map<std::string, std::string> fixed;
  if (!settings.run.mask_prompt) fixed["mask_prompt"] = "false";
  if (const auto& lora = settings.student.lora) {
    fixed["lora_rank"] = std::to_string(lora->rank);
    fixed["lora_alpha"] = fmt::format("{}", lora->alpha);
    if (lora->dora) fixed["lora_dora"] = "true";
  }
  return fixed;
}

std::string as_glob(const std::string& name) {
  std::string glob;
  for (const char c : name) {
    if (c == '*' || c == '?' || c == '[' || c == '\\') glob += '\\';
    glob += c;
  }
  return glob;
}

// Adapters as those that the run begins with, where nothing else is asked for.
Lora lora_of(const CoreMLModelWrapper& model, const TrainingSettings& settings) {
  const adapters::AdapterSet set =
      in_context([&] { return model.path().string(); },
                 [&] {
                   return adapters::read_adapters(settings.run.from_adapter, *model.impl().function,
                                                  ops::catalog(), settings.run.adapter_names);
                 });
  const adapters::Adapter& first = set.adapters.at(0);
  Lora lora;
  lora.rank = first.a.dim(0);
  lora.alpha = static_cast<float>(first.scale * static_cast<double>(lora.rank));
  lora.dora = adapters::has_magnitudes(set);
  lora.seed = settings.run.seed;
  lora.targets.clear();
  for (const adapters::Adapter& adapter : set.adapters) {
    lora.targets.push_back(as_glob(adapter.weight));
  }
  return lora;
}

// What predictions of a teacher are kept for. The length of the windows is told before the data,
// whose fingerprint it is a part of.
training::TeacherCache::Binding binding_of(const training::TrainingData& data) {
  if (data.train == nullptr) return {};
  training::TeacherCache::Binding binding;
  if (data.seq_len > 0) {
    binding.emplace_back("the windows", fmt::format("{} tokens", data.seq_len));
  }
  binding.emplace_back("the data", fmt::format("{:016x}", data.train->fingerprint()));
  return binding;
}

TrainingReport run_training(const CoreMLModelWrapper& model, const CoreMLModelWrapper* teacher,
                            const TrainingSettings& given, TrainingObserver& observer) {
  TrainingSettings settings = resolved(given);
  training::check(settings);
  std::vector<package::Needed> read;
  if (teacher != nullptr) {
    read.push_back({setting("teacher"), teacher->path()});
    read.push_back({setting("teacher_cache"), settings.distill.cache});
  }
  check_outputs(settings, model.path(), read);
  training::TrainingData data;
  if (!settings.run.data.empty()) {
    data = training::load_training_data(model.impl(), settings.run, settings.student,
                                        [&](const std::string& file, int64_t done, int64_t all) {
                                          observer.reading(file, done, all);
                                        });
  }
  const bool goes_on = !settings.run.from_adapter.empty();
  if (goes_on && !settings.student.lora) settings.student.lora = lora_of(model, settings);
  const auto as_read = [&](const CoreMLModelWrapper& whole) {
    return data.seq_len > 0 ? CoreMLModelWrapper::Impl::for_texts(whole) : whole;
  };
  StudentModel student(as_read(model), settings.student);
  if (goes_on) student.load_adapter(settings.run.from_adapter, settings.run.adapter_names);
  if (teacher != nullptr) {
    const CoreMLModelWrapper told = as_read(*teacher);
    student_of(student).set_teacher(shared_model(told), *told.impl().function, settings.distill,
                                    binding_of(data));
  }
  PackageFiles files(model, student, settings);
  training::RunPlan plan = {settings.run, fixed_of(settings),
                            rows_of(model, teacher, settings, data)};
  if (teacher != nullptr) plan.loss_name = "training with teacher";
  training::Run run(student_of(student), std::move(data), std::move(plan), files, observer);
  const training::TrainingSummary summary = training::summary_of(student.parameters());
  std::vector<std::string> notes = training::lines_of(summary);
  const LoadOptions& options = model.impl().options;
  if (options.compute == Compute::kFp32 &&
      devices::platform(options.device).backend->prefers_bf16()) {
    notes.push_back(fmt::format("this processor multiplies bf16 faster than fp32: {} bf16",
                                setting("compute")));
  }
  if (!files.adapter_alone()) {
    const auto more = student.notes({.only_function = settings.run.only_function});
    notes.insert(notes.end(), more.begin(), more.end());
  }
  for (std::string& note : notes) {
    note = training::told_to(observer, note);
    observer.note(note);
  }
  TrainingReport report = run.finish();
  report.notes.insert(report.notes.begin(), notes.begin(), notes.end());
  report.trained_numbers = summary.trained.numbers + summary.adapters.numbers;
  report.all_numbers = summary.all.numbers;
  if (report.interrupted) return report;
  report.output = settings.run.output;
  report.adapter = files.adapter();
  return report;
}

class Teller final : public TrainingObserver {
 public:
  explicit Teller(const TellProgress& tell) : tell_(tell) {}
  void stepped(const TrainingProgress& progress) override {
    if (tell_ && !tell_(progress)) stops_ = true;
  }
  bool should_stop() override { return stops_; }

 private:
  const TellProgress& tell_;
  bool stops_ = false;
};

}  // namespace

TrainingReport train(const CoreMLModelWrapper& model, const TrainingSettings& settings,
                     TrainingObserver& observer) {
  return run_training(model, nullptr, settings, observer);
}
TrainingReport train(const CoreMLModelWrapper& model, const TrainingSettings& settings,
                     const TellProgress& progress) {
  Teller teller(progress);
  return run_training(model, nullptr, settings, teller);
}
TrainingReport train(const std::filesystem::path& model, const TrainingSettings& settings,
                     const TellProgress& progress) {
  return train(CoreMLModelWrapper::load(model), settings, progress);
}

TrainingReport distill(const CoreMLModelWrapper& student, const CoreMLModelWrapper& teacher,
                       const TrainingSettings& settings, TrainingObserver& observer) {
  return run_training(student, &teacher, settings, observer);
}
TrainingReport distill(const CoreMLModelWrapper& student, const CoreMLModelWrapper& teacher,
                       const TrainingSettings& settings, const TellProgress& progress) {
  Teller teller(progress);
  return run_training(student, &teacher, settings, teller);
}

}  // namespace mw
