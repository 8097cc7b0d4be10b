// Names of outputs, and the refusals.
#include "cli/training_outputs.h"

#include <system_error>

#include "adapters/peft.h"
#include "base/error.h"
#include "cli/outputs.h"
#include "package/container.h"
#include "package/package.h"

namespace mw::cli {
namespace {

namespace fs = std::filesystem;

bool is_peft(const TrainingOptions& o) { return o.adapter_format == "peft"; }

void expect_folder_of(const fs::path& output) {
  const fs::path folder = output.has_parent_path() ? output.parent_path() : ".";
  std::error_code error;
  if (fs::is_directory(folder, error)) return;
  const bool missing = !error || error == std::errc::no_such_file_or_directory;
  fail(ErrorCode::kIo, "--output {}: {} {}{}", output.string(),
       missing ? "there is no folder" : "cannot open the folder", folder.string(),
       missing ? "" : ": " + error.message());
}

void check_output(const TrainingOptions& o) {
  const fs::path model = o.model, output = o.output;
  if (o.adapts() && is_peft(o)) adapters::expect_replaceable_peft(adapter_path(o));
  if (o.adapts() && is_adapter(o)) return expect_folder_of(output);
  if (package::container_named(output)) {
    expect_folder_of(output);
    return in_context([&] { return "--output"; }, [&] { package::expect_writable(model, output); });
  }
  fail(ErrorCode::kInvalidArgument,
       "--output {}: expected a path that ends in .mlpackage, .mlmodelc or .mlmodel, or, with "
       "--lora-rank, {}",
       output.string(), is_peft(o) ? "the name of a folder, without an extension" : ".safetensors");
}

}  // namespace

bool is_adapter(const TrainingOptions& o) {
  return fs::path(o.output).extension() == (is_peft(o) ? "" : ".safetensors");
}

fs::path adapter_path(const TrainingOptions& o) {
  if (!o.adapts()) return {};
  fs::path output = o.output;
  if (is_adapter(o)) return output;
  return output.parent_path() /
         (output.stem().string() + (is_peft(o) ? "-adapter" : "-adapter.safetensors"));
}

fs::path run_folder(const TrainingOptions& o) {
  return o.checkpoint_dir.empty() ? fs::path(o.output).replace_extension(".run")
                                  : fs::path(o.checkpoint_dir);
}

void check_outputs(const TrainingOptions& o) {
  if (is_adapter(o) && o.settings.given("trainable")) {
    fail(ErrorCode::kInvalidArgument,
         "--output {}: an adapter cannot hold what --trainable trains; write a package", o.output);
  }
  check_output(o);
  const std::vector<Needed> needed = {{"the model", o.model, true},
                                      {"--teacher", o.teacher},
                                      {"--data", o.data},
                                      {"--eval-data", o.eval_data},
                                      {"--config", o.config},
                                      {"--adapter-names", o.adapter_names},
                                      {"--checkpoint-dir", run_folder(o)},
                                      {"--resume-from", o.resume_from}};
  expect_apart("--output", o.output, needed);
  expect_apart("the adapter", adapter_path(o), needed);
}

}  // namespace mw::cli
