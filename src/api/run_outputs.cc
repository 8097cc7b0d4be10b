// Names of outputs, and the refusals.
#include "api/run_outputs.h"

#include <algorithm>
#include <system_error>

#include "adapters/file.h"
#include "adapters/modules.h"
#include "base/error.h"
#include "package/container.h"
#include "package/package.h"
#include "package/parts.h"
#include "train/run.h"

namespace mw {
namespace {

namespace fs = std::filesystem;

// A shell completes the name of a folder with a slash, which is no part of it.
std::filesystem::path without_slash(const std::filesystem::path& path) {
  std::string text = path.string();
  while (text.size() > 1 && text.ends_with('/')) text.pop_back();
  return text;
}

bool adapts(const TrainingSettings& s) {
  return s.student.lora.has_value() || !s.run.from_adapter.empty();
}

// The output's own form, where it is an adapter or replaces one; else that of the one to begin
// with.
AdapterFormat format_of(const TrainingSettings& s) {
  if (s.run.adapter_format) return *s.run.adapter_format;
  const fs::path& output = s.run.output;
  std::optional<AdapterFormat> known;
  if (output.extension() == ".safetensors") known = AdapterFormat::kMillwright;
  if (output.extension().empty()) known = adapters::format_at(output);
  if (!known && !s.run.from_adapter.empty()) known = adapters::format_at(s.run.from_adapter);
  return known.value_or(AdapterFormat::kMillwright);
}

// Whether adapters are written as a folder.
bool is_folder_form(const TrainingSettings& s) {
  return format_of(s) != AdapterFormat::kMillwright;
}

// Whether the output is an adapter and no package: a .safetensors file, or, as others have it, a
// folder whose name has no extension.
bool is_adapter(const TrainingSettings& s) {
  return s.run.output.extension() == (is_folder_form(s) ? "" : ".safetensors");
}

void expect_folder_of(const fs::path& output) {
  const fs::path folder = output.has_parent_path() ? output.parent_path() : ".";
  std::error_code error;
  if (fs::is_directory(folder, error)) return;
  const bool missing = !error || error == std::errc::no_such_file_or_directory;
  fail(ErrorCode::kIo, "{} {}: {} {}{}", setting("output"), output.string(),
       missing ? "there is no folder" : "cannot open the folder", folder.string(),
       missing ? "" : ": " + error.message());
}

void check_output(const TrainingSettings& s, const fs::path& model) {
  const fs::path& output = s.run.output;
  if (adapts(s) && is_folder_form(s)) adapters::expect_replaceable_folder(adapter_path(s));
  if (adapts(s) && is_adapter(s)) return expect_folder_of(output);
  if (package::container_named(output) || package::holds_parts(model)) {
    expect_folder_of(output);
    return in_context([] { return setting("output"); },
                      [&] { package::expect_writable(model, output); });
  }
  fail(ErrorCode::kInvalidArgument,
       "{} {}: expected a path that ends in .mlpackage, .mlmodelc or .mlmodel, or, with {}, {}",
       setting("output"), output.string(), setting("lora_rank"),
       is_folder_form(s) ? "the name of a folder, without an extension" : ".safetensors");
}

void check_given(const TrainingSettings& s) {
  const auto need = [](const fs::path& value, const char* name, const char* what) {
    if (value.empty()) {
      fail(ErrorCode::kInvalidArgument, "{}: expected {}, got none", setting(name), what);
    }
  };
  need(s.run.output, "output", "a package to write");
  if (s.run.steps > 0) need(s.run.data, "data", "a file to train on");
  const bool other_form =
      s.run.adapter_format && *s.run.adapter_format != AdapterFormat::kMillwright;
  const char* stray = other_form                     ? "adapter_format"
                      : !s.run.adapter_names.empty() ? "adapter_names"
                                                     : nullptr;
  if (!adapts(s) && stray != nullptr) {
    fail(ErrorCode::kInvalidArgument, "{}: expected {} beside it, got none", setting(stray),
         setting("lora_rank"));
  }
  const bool names_needed = is_folder_form(s) || !s.run.from_adapter.empty();
  if (!s.run.adapter_names.empty() && !names_needed) {
    fail(ErrorCode::kInvalidArgument, "{}: expected {} peft or mlx beside it, got millwright",
         setting("adapter_names"), setting("adapter_format"));
  }
  if (adapts(s) && is_adapter(s) && s.student.trainable != StudentOptions().trainable) {
    fail(ErrorCode::kInvalidArgument,
         "{} {}: an adapter cannot hold what {} trains; write a package", setting("output"),
         s.run.output.string(), setting("trainable"));
  }
}

}  // namespace

TrainingSettings resolved(const TrainingSettings& given) {
  TrainingSettings s = given;
  s.run.output = without_slash(s.run.output);
  int64_t& total = s.student.schedule.total_steps;
  if (total == 0) total = std::max<int64_t>(s.run.steps, 1);
  if (s.student.lora && s.student.lora->seed == 0) s.student.lora->seed = s.run.seed;
  if (adapts(s)) s.run.adapter_format = format_of(s);
  return s;
}

fs::path adapter_path(const TrainingSettings& s) {
  if (!adapts(s)) return {};
  const fs::path& output = s.run.output;
  if (is_adapter(s)) return output;
  return output.parent_path() /
         (output.stem().string() + (is_folder_form(s) ? "-adapter" : "-adapter.safetensors"));
}

void check_outputs(const TrainingSettings& s, const fs::path& model,
                   const std::vector<package::Needed>& read) {
  check_given(s);
  check_output(s, model);
  std::vector<package::Needed> needed = {{"the model", model, true},
                                         {setting("data"), s.run.data},
                                         {setting("eval_data"), s.run.eval_data},
                                         {setting("adapter_names"), s.run.adapter_names},
                                         {setting("from_adapter"), s.run.from_adapter},
                                         {setting("checkpoint_dir"), training::run_folder(s.run)},
                                         {setting("resume_from"), s.run.resume_from}};
  needed.insert(needed.end(), read.begin(), read.end());
  package::expect_apart(setting("output"), s.run.output, needed);
  package::expect_apart("the adapter", adapter_path(s), needed);
}

}  // namespace mw
