// mlx-lm's keys one by one: what each becomes, or why it is refused.
#include "cli/mlx_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/error.h"
#include "cli/mlx_reader.h"

namespace mw::cli {
namespace {

namespace fs = std::filesystem;

// Those that `train` has as options, too, with the same meaning.
constexpr auto kShared = std::to_array<std::string_view>(
    {"model", "data", "seed", "batch_size", "learning_rate", "optimizer", "mask_prompt"});
constexpr auto kOwn = std::to_array<std::string_view>({"train",
                                                       "fine_tune_type",
                                                       "optimizer_config",
                                                       "num_layers",
                                                       "iters",
                                                       "val_batches",
                                                       "steps_per_report",
                                                       "steps_per_eval",
                                                       "resume_adapter_file",
                                                       "adapter_path",
                                                       "save_every",
                                                       "test",
                                                       "test_batches",
                                                       "max_seq_length",
                                                       "config",
                                                       "grad_checkpoint",
                                                       "grad_accumulation_steps",
                                                       "clear_cache_threshold",
                                                       "lr_schedule",
                                                       "lora_parameters",
                                                       "report_to",
                                                       "project_name",
                                                       "wandb",
                                                       "trust_remote_code",
                                                       "hf_dataset",
                                                       "prompt_feature",
                                                       "completion_feature",
                                                       "chat_feature",
                                                       "text_feature"});
constexpr auto kAdapter =
    std::to_array<std::string_view>({"keys", "rank", "scale", "dropout", "alpha"});
class Translator : private MlxReader {
 public:
  using MlxReader::MlxReader;

  std::vector<OptionValue> run() {
    check_keys();
    refuse();
    describe_run();
    describe_data();
    describe_optimizer(*this);
    describe_schedule(*this);
    describe_training();
    return std::move(options);
  }

 private:
  void check_keys() const {
    std::string own;
    for (const auto& row : root) {
      if (is_in(kOwn, key_of(row))) own = key_of(row);
    }
    for (const auto& row : root) {
      const std::string key = key_of(row);
      if (is_in(kOwn, key) || is_in(kShared, key)) continue;
      const bool is_option = option_named(key) != nullptr;
      fail(
          ErrorCode::kInvalidArgument, "{}: {}", line_of(row.first),
          is_option
              ? fmt::format("'{}' is an option of train, '{}' a key of mlx-lm: expected keys "
                            "of one kind in a file; the command line may add to them",
                            key, own)
              : fmt::format("'{}' is no key of mlx-lm that is known here ('{}' is one)", key, own));
    }
  }

  void refuse() const {
    const auto no = [&](const char* key, const char* reason) {
      if (has(root, key)) reject(key, root[key], reason);
    };
    no("config", "a configuration names no other one");
    no("hf_dataset",
       "data sets of a hub are not fetched; expected a folder with train.jsonl as data");
    no("report_to",
       "reports go to no service; metrics.jsonl and report.html beside the output have them");
    no("wandb",
       "reports go to no service; metrics.jsonl and report.html beside the output have them");
    if (has(root, "train") && !flag("train")) {
      reject("train", root["train"],
             "false: this command trains; `millwright eval` takes a model, an adapter and data");
    }
  }

  void describe_run() {
    if (has(root, "model")) set("model", text("model", ""), "model");
    set("seed", whole("seed", 0), "seed");
    per_update_ = count("grad_accumulation_steps", 1);
    const int64_t iters = whole("iters", 1000);
    if (iters < 0) {
      reject("iters", root["iters"], fmt::format("expected at least 0, got {}", iters));
    }
    set("steps", iters / per_update_, "iters");
    set("accumulate", per_update_, "grad_accumulation_steps");
    set("eval_every", updates("steps_per_eval", 200), "steps_per_eval");
    set("checkpoint_every", updates("save_every", 100), "save_every");
    set("report_every", updates("steps_per_report", 10), "steps_per_report");
    limit("eval_batches", "val_batches", whole("val_batches", 25));
    if (flag("test")) {
      limit("test_batches", "test_batches", whole("test_batches", 500));
      expect_test_data();
    } else {
      set("test_batches", int64_t{0}, "test");
    }
    if (flag("grad_checkpoint")) set("recompute", "true", "grad_checkpoint");
    if (has(root, "resume_adapter_file")) {
      set("from_adapter", text("resume_adapter_file", ""), "resume_adapter_file");
    }
    (void)whole_or_size("clear_cache_threshold");
    (void)flag("trust_remote_code");
    (void)text("project_name", "");
  }

  // mlx-lm counts batches, a step here takes several where they are accumulated.
  int64_t updates(const char* key, int64_t usual) const {
    return (count(key, usual) + per_update_ - 1) / per_update_;
  }
  // -1 stands for all, which is usual here.
  void limit(const char* option, const char* key, int64_t batches) {
    if (batches == 0 || batches < -1) {
      reject(key, root[key], fmt::format("expected a number of batches or -1, got {}", batches));
    }
    if (batches > 0) set(option, batches, key);
  }
  void expect_test_data() const {
    const fs::path data = given("data") ? given("data")->results()[0] : text("data", "");
    if (data.empty() || fs::exists(data / "test.jsonl") || !fs::is_directory(data)) return;
    reject("test", root["test"],
           fmt::format("true: expected test.jsonl in {}, found none", data.string()));
  }
  // "2GB" as well as a number of bytes.
  std::string whole_or_size(const char* key) const { return text(key, "0"); }

  void describe_data() {
    if (has(root, "data")) set("data", text("data", ""), "data");
    set("batch_size", count("batch_size", 4), "batch_size");
    set("seq_len", count("max_seq_length", 2048), "max_seq_length");
    set("pack", "false", "max_seq_length");
    set("mask_prompt", flag("mask_prompt") ? "true" : "false", "mask_prompt");
    std::vector<std::string> keys;
    for (const auto& [key, name] :
         {std::pair{"prompt_feature", "prompt"}, std::pair{"completion_feature", "completion"},
          std::pair{"chat_feature", "messages"}, std::pair{"text_feature", "text"}}) {
      const std::string called = text(key, name);
      if (called != name) keys.push_back(fmt::format("{}={}", name, called));
    }
    if (!keys.empty()) set("data_keys", keys, "prompt_feature");
  }

  void describe_training() {
    const std::string type = text("fine_tune_type", "lora");
    const bool full = type == "full";
    if (!full && type != "lora" && type != "dora") {
      reject("fine_tune_type", root["fine_tune_type"],
             fmt::format("expected lora, dora or full, got '{}'", type));
    }
    const int64_t layers = whole("num_layers", 16);
    set("last_layers", layers <= 0 ? int64_t{-1} : layers, "num_layers");
    describe_output(full);
    if (!full) describe_adapters(type == "dora");
  }

  // The folder of the adapters; of whole weights a package beside where it would be.
  void describe_output(bool full) {
    const std::string folder = text("adapter_path", "adapters");
    const bool is_package =
        fs::path(folder).extension() == ".mlpackage" || fs::path(folder).extension() == ".mlmodelc";
    set("output", full && !is_package ? folder + ".mlpackage" : folder, "adapter_path");
    const CLI::Option* output = given("output");
    const bool own =
        output != nullptr && fs::path(output->results()[0]).extension() == ".safetensors";
    if (!full && !own) set("adapter_format", "mlx", "adapter_path");
  }

  void describe_adapters(bool dora) {
    const YAML::Node parameters = map("lora_parameters");
    expect_keys(parameters, "lora_parameters", kAdapter);
    auto rank = read<int64_t>(parameters, "rank", "lora_parameters.rank", 8, "a whole number");
    if (const CLI::Option* option = given("lora_rank")) rank = option->as<int64_t>();
    if (has(parameters, "alpha") && !has(parameters, "scale")) {
      reject("lora_parameters.alpha", parameters["alpha"],
             "mlx-lm counts adapters by scale; expected scale, which is alpha / rank");
    }
    const auto scale = read<double>(parameters, "scale", "lora_parameters.scale", 20, "a number");
    const auto dropout =
        read<double>(parameters, "dropout", "lora_parameters.dropout", 0, "a number");
    if (dropout != 0) {
      reject("lora_parameters.dropout", parameters["dropout"],
             "adapters are trained without dropout here; expected 0");
    }
    set("lora_rank", rank, "lora_parameters");
    set("lora_alpha", scale * static_cast<double>(rank), "lora_parameters");
    if (dora) set("lora_dora", "true", "fine_tune_type");
    if (has(parameters, "keys")) {
      set("lora_targets", globs_of(parameters["keys"]), "lora_parameters");
    }
  }

  // Modules within a layer, or of the whole model, as globs over names of weights.
  std::vector<std::string> globs_of(const YAML::Node& keys) const {
    if (!keys.IsSequence() || keys.size() == 0) {
      reject("lora_parameters.keys", keys, "expected a list of modules, such as self_attn.q_proj");
    }
    std::vector<std::string> globs;
    for (const YAML::Node& key : keys) {
      auto name = value_of<std::string>(key, "lora_parameters.keys", "the name of a module");
      std::replace(name.begin(), name.end(), '.', '?');
      globs.push_back("*" + name + "?weight*");
    }
    return globs;
  }

  int64_t per_update_ = 1;
};

}  // namespace

bool is_mlx_config(const YAML::Node& root) {
  if (!root.IsMap()) return false;
  return std::any_of(root.begin(), root.end(),
                     [](const auto& row) { return is_in(kOwn, key_of(row)); });
}

std::vector<OptionValue> options_of_mlx(const YAML::Node& root, const std::string& path,
                                        const CLI::App& command) {
  return Translator(root, path, command).run();
}

std::vector<std::string> mlx_keys() {
  std::vector<std::string> keys(kShared.begin(), kShared.end());
  keys.insert(keys.end(), kOwn.begin(), kOwn.end());
  for (const auto& key : kMlxScheduleKeys) keys.push_back(fmt::format("lr_schedule.{}", key));
  for (const auto& key : kAdapter) keys.push_back(fmt::format("lora_parameters.{}", key));
  return keys;
}

}  // namespace mw::cli
