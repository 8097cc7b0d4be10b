// Declares the options of training and resolves them to settings.
#include "cli/training_options.h"

#include <algorithm>
#include <set>
#include <variant>

#include "base/error.h"
#include "cli/parameter_groups.h"

namespace mw::cli {
namespace {

// Settings that other options of a run decide, or that are for programs.
const std::set<std::string> kElsewhere = {"groups", "naive", "lora_seed", "wrt_inputs"};
const std::set<std::string> kOfLoading = {"function",  "compute",     "device", "threads",
                                          "tokenizer", "print_after", "role"};

bool is_of_teacher(const std::string& name) {
  const auto all = training::members_of(DistillOptions());
  return std::ranges::any_of(all, [&](const auto& facts) { return facts.name == name; });
}

}  // namespace

void TrainingOptions::add_to(CLI::App& c) {
  c.add_option("--config", config, "a YAML file with the same keys; the command line counts more");
  settings.add_to(c, [this](const std::string& name) {
    return !kElsewhere.contains(name) && (distills || !is_of_teacher(name));
  });
  settings.option("lora_alpha").default_str("twice the rank");
  for (const char* name : {"lora_rank", "lora_targets"}) settings.option(name).default_str("");
  c.add_option("--group", groups,
               "GLOB:lr=NUMBER,decay=NUMBER: learning rate and weight decay of the parameters that "
               "match, one or both; the last match counts")
      ->take_all();
  c.add_option("--report-every", report_every,
               "steps between lines on the way, where there is no terminal (default: by time)")
      ->check(CLI::PositiveNumber);
  load.add_load_to(c, [](const std::string& name) { return kOfLoading.contains(name); });
  c.add_flag("--json", json, "print JSON");
}

TrainingSettings TrainingOptions::training_settings() const {
  TrainingSettings all;
  settings.apply(all);
  all.student.groups = parameter_groups(
      groups, std::visit([](const auto& s) { return s.learning_rate; }, all.student.optimizer));
  for (const char* name : {"lora_alpha", "lora_targets"}) {
    if (!settings.given(name) || settings.given("lora_rank")) continue;
    fail(ErrorCode::kInvalidArgument, "{}: expected {} beside it, got none", setting(name),
         setting("lora_rank"));
  }
  if (all.student.lora && !settings.given("lora_alpha")) {
    all.student.lora->alpha = 2 * static_cast<float>(all.student.lora->rank);
  }
  return all;
}

LoadOptions TrainingOptions::load_options() const {
  LoadOptions options;
  load.apply(options);
  if (options.compute == Compute::kFp16) {
    fail(ErrorCode::kInvalidArgument, "{}: expected fp32, bf16 or fp64 to train in, got fp16",
         setting("compute"));
  }
  return options;
}

}  // namespace mw::cli
