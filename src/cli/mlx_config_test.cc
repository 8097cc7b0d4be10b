// mlx-lm's keys as options of `train`: what each becomes, what is refused, and the table of docs.
#include "cli/mlx_config.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "base/error.h"
#include "cli/training_options.h"

namespace mw::cli {
namespace {

namespace fs = std::filesystem;
using Values = std::map<std::string, std::vector<std::string>>;

// The options that a file gives, with those of a command line before it.
Values options_of(const std::string& yaml, const std::vector<std::string>& line = {}) {
  CLI::App app;
  CLI::App* train = app.add_subcommand("train");
  TrainingOptions options;
  train->add_option("model", options.model);
  options.add_to(*train);
  std::vector<std::string> words = {"train"};
  words.insert(words.end(), line.begin(), line.end());
  std::reverse(words.begin(), words.end());
  app.parse(words);
  Values values;
  for (const OptionValue& row : options_of_mlx(YAML::Load(yaml), "c.yaml", *train)) {
    values[row.option] = row.values;
  }
  return values;
}

std::string refusal(const std::string& yaml) {
  try {
    (void)options_of(yaml);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
    return e.what();
  }
  return "";
}

using Texts = std::vector<std::string>;

TEST(MlxConfig, is_told_by_a_key_that_only_mlx_lm_has) {
  EXPECT_FALSE(is_mlx_config(YAML::Load("{model: a, data: b, seed: 1, batch_size: 2}")));
  EXPECT_FALSE(
      is_mlx_config(YAML::Load("{optimizer: adamw, learning_rate: 1e-3, mask_prompt: true}")));
  EXPECT_FALSE(is_mlx_config(YAML::Load("{model: a, steps: 2, output: b}")));
  EXPECT_TRUE(is_mlx_config(YAML::Load("{model: a, iters: 2}")));
  EXPECT_TRUE(is_mlx_config(YAML::Load("{lora_parameters: {rank: 4}}")));
}

TEST(MlxConfig, has_the_defaults_of_mlx_lm_where_it_is_silent) {
  const Values values = options_of("{model: m.mlpackage, train: true, data: d}");
  const Values expected = {{"model", {"m.mlpackage"}},
                           {"data", {"d"}},
                           {"seed", {"0"}},
                           {"steps", {"1000"}},
                           {"accumulate", {"1"}},
                           {"eval_every", {"200"}},
                           {"checkpoint_every", {"100"}},
                           {"report_every", {"10"}},
                           {"eval_batches", {"25"}},
                           {"test_batches", {"0"}},
                           {"batch_size", {"4"}},
                           {"seq_len", {"2048"}},
                           {"pack", {"false"}},
                           {"mask_prompt", {"false"}},
                           {"optimizer", {"adam"}},
                           {"bias_correction", {"false"}},
                           {"learning_rate", {"1e-05"}},
                           {"last_layers", {"16"}},
                           {"output", {"adapters"}},
                           {"adapter_format", {"mlx"}},
                           {"lora_rank", {"8"}},
                           {"lora_alpha", {"160"}}};
  EXPECT_EQ(values, expected);
}

TEST(MlxConfig, gives_each_key_to_its_option) {
  const Values values = options_of(R"(
    fine_tune_type: dora
    optimizer: adamw
    optimizer_config:
      adamw: {betas: [0.8, 0.9], eps: 1e-6, weight_decay: 0.3, bias_correction: true}
      sgd: {momentum: 0.5}
    seed: 7
    num_layers: -1
    iters: 101
    grad_accumulation_steps: 4
    val_batches: -1
    steps_per_report: 8
    steps_per_eval: 50
    save_every: 3
    resume_adapter_file: old/adapters.safetensors
    adapter_path: new
    test: true
    test_batches: 9
    max_seq_length: 64
    grad_checkpoint: true
    clear_cache_threshold: 2GB
    lr_schedule: {name: cosine_decay, warmup: 10, warmup_init: 1e-6, arguments: [1e-4, 90, 1e-5]}
    lora_parameters: {keys: [self_attn.q_proj, lm_head], rank: 4, scale: 2.5, dropout: 0}
    mask_prompt: true
    prompt_feature: question
    completion_feature: answer
    project_name: mine
    trust_remote_code: true
  )");
  const auto is = [&](const char* option, const Texts& expected) {
    ASSERT_TRUE(values.contains(option)) << option;
    EXPECT_EQ(values.at(option), expected) << option;
  };
  is("optimizer", {"adamw"});
  is("beta1", {"0.8"});
  is("beta2", {"0.9"});
  is("epsilon", {"1e-06"});
  is("weight_decay", {"0.3"});
  is("bias_correction", {"true"});
  EXPECT_FALSE(values.contains("momentum"));
  is("seed", {"7"});
  is("last_layers", {"-1"});
  is("steps", {"25"});
  is("accumulate", {"4"});
  EXPECT_FALSE(values.contains("eval_batches"));
  is("report_every", {"2"});
  is("eval_every", {"13"});
  is("checkpoint_every", {"1"});
  is("from_adapter", {"old/adapters.safetensors"});
  is("output", {"new"});
  is("test_batches", {"9"});
  is("seq_len", {"64"});
  is("recompute", {"true"});
  is("learning_rate", {"0.0001"});
  is("schedule", {"cosine"});
  is("warmup_steps", {"10"});
  is("initial_factor", {"0.01"});
  is("total_steps", {"100"});
  is("final_factor", {"0.1"});
  is("lora_targets", {"*self_attn?q_proj?weight*", "*lm_head?weight*"});
  is("lora_rank", {"4"});
  is("lora_alpha", {"10"});
  is("lora_dora", {"true"});
  is("mask_prompt", {"true"});
  is("data_keys", {"prompt=question", "completion=answer"});
}

TEST(MlxConfig, has_every_optimiser_and_schedule) {
  const auto with = [&](const std::string& yaml) { return options_of("{iters: 1, " + yaml + "}"); };
  Values values = with("optimizer: SGD, optimizer_config: {sgd: {momentum: 0.5, nesterov: true}}");
  EXPECT_EQ(values.at("optimizer"), Texts{"sgd"});
  EXPECT_EQ(values.at("momentum"), Texts{"0.5"});
  EXPECT_EQ(values.at("nesterov"), Texts{"true"});
  EXPECT_FALSE(values.contains("bias_correction"));
  values = with("optimizer: muon, optimizer_config: {muon: {momentum: 0.9, ns_steps: 5}}");
  EXPECT_EQ(values.at("momentum"), Texts{"0.9"});
  EXPECT_EQ(values.at("weight_decay"), Texts{"0.01"});
  values = with(
      "optimizer: adafactor, optimizer_config: {adafactor: {eps: [1e-30, 0.01], decay_rate: -0.7, "
      "clip_threshold: 2, relative_step: false}}");
  EXPECT_EQ(values.at("epsilon"), Texts{"0.01"});
  EXPECT_EQ(values.at("decay_rate"), Texts{"0.7"});
  EXPECT_EQ(values.at("clip_threshold"), Texts{"2"});
  values = with("lr_schedule: {name: linear_schedule, arguments: [0.1, 0.02, 50]}");
  EXPECT_EQ(values.at("schedule"), Texts{"linear"});
  EXPECT_EQ(values.at("final_factor"), Texts{"0.2"});
  EXPECT_EQ(values.at("total_steps"), Texts{"50"});
  values = with("lr_schedule: {name: exponential_decay, arguments: [0.1, 0.9]}");
  EXPECT_EQ(values.at("schedule"), Texts{"step"});
  EXPECT_EQ(values.at("decay_factor"), Texts{"0.9"});
  EXPECT_EQ(values.at("decay_every"), Texts{"1"});
  values = with("lr_schedule: {name: step_decay, arguments: [0.1, 0.5, 20]}");
  EXPECT_EQ(values.at("decay_every"), Texts{"20"});
}

TEST(MlxConfig, of_whole_weights_writes_a_package) {
  const Values values = options_of("{fine_tune_type: full, adapter_path: out}");
  EXPECT_EQ(values.at("output"), Texts{"out.mlpackage"});
  EXPECT_FALSE(values.contains("lora_rank"));
  EXPECT_FALSE(values.contains("adapter_format"));
}

TEST(MlxConfig, heeds_the_command_line) {
  EXPECT_EQ(options_of("{iters: 1}", {"--lora-rank", "2"}).at("lora_alpha"), Texts{"40"});
  const Values own = options_of("{iters: 1}", {"--output", "x.safetensors"});
  EXPECT_FALSE(own.contains("adapter_format"));
  const Values other = options_of(
      "{optimizer: adam, optimizer_config: {adam: {betas: [0.8, 0.9]}}}", {"--optimizer", "sgd"});
  EXPECT_FALSE(other.contains("beta1"));
  EXPECT_FALSE(other.contains("optimizer"));
}

TEST(MlxConfig, says_what_it_does_not_do) {
  const std::pair<const char*, const char*> rows[] = {
      {"{iters: 1, steps: 2}",
       "c.yaml:1: 'steps' is an option of train, 'iters' a key of mlx-lm: expected keys of one "
       "kind"},
      {"{iters: 1, colour: 2}", "c.yaml:1: 'colour' is no key of mlx-lm that is known here"},
      {"{train: false}", "c.yaml:1: train: false: this command trains"},
      {"{config: other.yaml}", "config: a configuration names no other one"},
      {"{hf_dataset: {path: a/b}}", "hf_dataset: data sets of a hub are not fetched"},
      {"{report_to: wandb}", "report_to: reports go to no service"},
      {"{iters: 1, wandb: mine}", "wandb: reports go to no service"},
      {"{iters: many}", "iters: expected a whole number, got 'many'"},
      {"{iters: -1}", "iters: expected at least 0, got -1"},
      {"{iters: [1]}", "iters: expected a whole number, got a list or a map"},
      {"{save_every: 0}", "save_every: expected at least 1, got 0"},
      {"{val_batches: 0}", "val_batches: expected a number of batches or -1, got 0"},
      {"{test: maybe}", "test: expected true or false, got 'maybe'"},
      {"{fine_tune_type: qlora}", "fine_tune_type: expected lora, dora or full, got 'qlora'"},
      {"{iters: 1, optimizer: lion}",
       "optimizer: expected adam, adamw, muon, sgd or adafactor, got 'lion'"},
      {"{optimizer_config: {adam: {amsgrad: true}}}",
       "optimizer_config.adam.amsgrad: this setting of the optimiser is not known here"},
      {"{optimizer: sgd, optimizer_config: {sgd: {dampening: 0.1}}}",
       "not dampened here; expected 0"},
      {"{optimizer: muon, optimizer_config: {muon: {ns_steps: 3}}}",
       "in five rounds here; expected 5"},
      {"{optimizer_config: {lion: {}}}", "optimizer_config: 'lion': expected adam"},
      {"{lr_schedule: {name: join_schedules, arguments: [1, 2]}}",
       "lr_schedule.name: expected cosine_decay, linear_schedule, exponential_decay or step_decay"},
      {"{lr_schedule: {name: cosine_decay, arguments: [1]}}",
       "lr_schedule.arguments: expected 2 or 3 for cosine_decay, got 1"},
      {"{lr_schedule: {name: cosine_decay, arguments: [1, 1e30]}}",
       "lr_schedule.arguments: expected a number of steps, got 1e+30"},
      {"{lr_schedule: {name: cosine_decay}}", "lr_schedule.arguments: expected a list of numbers"},
      {"{lr_schedule: {name: cosine_decay, rate: 1}}", "lr_schedule: 'rate': expected name"},
      {"{lora_parameters: {rank: 4, alpha: 8}}",
       "lora_parameters.alpha: mlx-lm counts adapters by scale"},
      {"{lora_parameters: {dropout: 0.1}}",
       "lora_parameters.dropout: adapters are trained without dropout here; expected 0"},
      {"{lora_parameters: {keys: []}}", "lora_parameters.keys: expected a list of modules"},
      {"{lora_parameters: 8}", "lora_parameters: expected keys and values"},
  };
  for (const auto& [yaml, sentence] : rows) {
    const std::string got = refusal(yaml);
    EXPECT_NE(got.find(sentence), std::string::npos) << yaml << "\n" << got;
    EXPECT_TRUE(got.starts_with("c.yaml")) << got;
  }
}

// The first column of the table in docs/training.md.
std::set<std::string> keys_in_docs() {
  const char* data = std::getenv("MW_TEST_DATA");
  const fs::path page = fs::path(data == nullptr ? "tests/data" : data) / "../../docs/training.md";
  std::ifstream file(page);
  std::stringstream text;
  text << file.rdbuf();
  const std::string all = text.str();
  const size_t begin = all.find("## Configurations of mlx-lm");
  std::istringstream section(all.substr(begin, all.find("\n## ", begin + 1) - begin));
  std::set<std::string> keys;
  for (std::string line; std::getline(section, line);) {
    if (!line.starts_with("| `")) continue;
    keys.insert(line.substr(3, line.find('`', 3) - 3));
  }
  return keys;
}

TEST(MlxConfig, has_each_key_in_the_table_of_the_docs) {
  const std::vector<std::string> known = mlx_keys();
  EXPECT_EQ(keys_in_docs(), std::set<std::string>(known.begin(), known.end()));
}

}  // namespace
}  // namespace mw::cli
