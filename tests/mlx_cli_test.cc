// `train --config` with configurations and data folders of mlx-lm, and the adapters it writes.
#include "base/tensor_file.h"
#include "training_cli_testing.h"

namespace mw::testing {
namespace {

using Json = nlohmann::json;

class MlxCli : public TrainingCli {
 protected:
  void SetUp() override {
    TrainingCli::SetUp();
    if (IsSkipped()) return;
    fs::create_directories(folder_ / "tokenizer");
    fs::copy(model("tokenizer.json"), folder_ / "tokenizer/tokenizer.json");
    const Json config = {{"chat_template",
                          "{% if tools %}{{ tools[0].name }}\n{% endif %}{% for m in messages %}"
                          "<{{ m.role }}>{{ m.content }}\n{% endfor %}"
                          "{% if add_generation_prompt %}<assistant>{% endif %}"}};
    write("tokenizer/tokenizer_config.json", config.dump());
  }
  // train.jsonl, valid.jsonl and test.jsonl of lines made by `line` of a question and an answer.
  std::string data(const std::string& name,
                   const std::function<Json(const std::string&, const std::string&)>& line) const {
    const std::string text = read_file(model("train.txt"));
    fs::create_directories(folder_ / name);
    std::vector<std::string> said;
    std::istringstream lines(text);
    for (std::string one; std::getline(lines, one) && said.size() < 80;) {
      if (one.size() > 20) said.push_back(one);
    }
    size_t at = 0;
    for (const auto& [file, count] : {std::pair{"train", 16}, {"valid", 8}, {"test", 8}}) {
      std::string rows;
      for (int i = 0; i < count; ++i, at += 2) rows += line(said[at], said[at + 1]).dump() + "\n";
      write(name + "/" + file + ".jsonl", rows);
    }
    return scratch(name);
  }
  static Json completion(const std::string& q, const std::string& a) {
    return {{"prompt", q}, {"completion", a}};
  }

  // Every key that mlx-lm documents; `more` lines replace or add.
  [[nodiscard]] std::string config(const std::string& name, const std::string& data,
                                   const std::map<std::string, std::string>& more = {}) const {
    std::map<std::string, std::string> keys = {
        {"model", model("student.mlpackage")},
        {"train", "true"},
        {"fine_tune_type", "lora"},
        {"optimizer", "adamw"},
        {"optimizer_config", "{adam: {}, adamw: {weight_decay: 0.01}, sgd: {}}"},
        {"data", data},
        {"seed", "1"},
        {"num_layers", "1"},
        {"batch_size", "2"},
        {"iters", "8"},
        {"val_batches", "2"},
        {"learning_rate", "1e-2"},
        {"steps_per_report", "2"},
        {"steps_per_eval", "4"},
        {"resume_adapter_file", "null"},
        {"adapter_path", scratch(name)},
        {"save_every", "4"},
        {"test", "true"},
        {"test_batches", "2"},
        {"max_seq_length", "48"},
        {"config", "null"},
        {"grad_checkpoint", "true"},
        {"grad_accumulation_steps", "2"},
        {"clear_cache_threshold", "0"},
        {"lr_schedule",
         "{name: cosine_decay, warmup: 1, warmup_init: 1e-7, arguments: [1e-2, 8, 1e-5]}"},
        {"lora_parameters",
         "{keys: [attention.wq, attention.wv, w1], rank: 4, scale: 2.0, dropout: 0.0}"},
        {"mask_prompt", "true"},
        {"report_to", "null"},
        {"project_name", "null"},
        {"trust_remote_code", "false"}};
    for (const auto& [key, value] : more) keys[key] = value;
    std::string text;
    for (const auto& [key, value] : keys) text += key + ": " + value + "\n";
    return write(name + ".yaml", text);
  }
  [[nodiscard]] Answer configured(const std::string& config, const Words& more = {}) const {
    Words words = {"train",     "--config", config, "--tokenizer", scratch("tokenizer"),
                   "--threads", "1"};
    words.insert(words.end(), more.begin(), more.end());
    return millwright(words);
  }
  [[nodiscard]] Json adapter_config(const std::string& name) const {
    return Json::parse(read_file(scratch(name + "/adapter_config.json")));
  }
};

TEST_F(MlxCli, every_key_trains_on_a_folder_of_each_format) {
  const std::pair<std::string, std::string> formats[] = {
      {"chat", data("d_chat",
                    [](const auto& q, const auto& a) {
                      return Json{{"messages",
                                   {{{"role", "user"}, {"content", q}},
                                    {{"role", "assistant"}, {"content", a}}}}};
                    })},
      {"tools", data("d_tools",
                     [](const auto& q, const auto& a) {
                       return Json{{"messages",
                                    {{{"role", "user"}, {"content", q}},
                                     {{"role", "assistant"}, {"content", a}}}},
                                   {"tools", {{{"name", "search"}}}}};
                     })},
      {"completions", data("d_completions", completion)},
      {"text", data("d_text", [](const auto& q, const auto& a) {
         return Json{{"text", q + a}};
       })}};
  for (const auto& [name, folder] : formats) {
    SCOPED_TRACE(name);
    const Answer answer = configured(config(name, folder));
    ASSERT_EQ(answer.code, 0) << answer.out;
    EXPECT_TRUE(has(answer.out, "step 4/4")) << answer.out;
    EXPECT_TRUE(has(answer.out, "test ")) << answer.out;
    const TensorMap factors = read_tensors(scratch(name + "/adapters.safetensors"));
    EXPECT_EQ(factors.size(), 6U);  // of the last layer alone
    for (const auto& [key, factor] : factors) {
      EXPECT_TRUE(key.starts_with("model.layers.1.")) << key;
      EXPECT_EQ(factor.dim(key.ends_with("lora_a") ? 1 : 0), 4) << key;
    }
    EXPECT_EQ(adapter_config(name)["lora_parameters"]["scale"], 2.0);
    EXPECT_EQ(millwright({"eval", model("student.mlpackage"), "--data", scratch("valid.txt"),
                          "--tokenizer", scratch("tokenizer"), "--adapter", scratch(name)})
                  .code,
              0);
  }
}

TEST_F(MlxCli, keys_of_lines_may_be_renamed) {
  const std::string plain = data("plain", completion);
  const std::string renamed = data("renamed", [](const auto& q, const auto& a) {
    return Json{{"question", q}, {"answer", a}};
  });
  ASSERT_EQ(configured(config("a", plain)).code, 0);
  expect_refusal(configured(config("b", renamed)), {"train.jsonl:1", "got keys: answer, question"});
  const Answer answer = configured(
      config("b", renamed, {{"prompt_feature", "question"}, {"completion_feature", "answer"}}));
  ASSERT_EQ(answer.code, 0) << answer.out;
  EXPECT_EQ(read_file(scratch("a/adapters.safetensors")),
            read_file(scratch("b/adapters.safetensors")));
}

TEST_F(MlxCli, prompts_are_learnt_unless_they_are_masked) {
  const std::string folder = data("d", completion);
  const auto labels = [&](const std::string& name, const char* mask) {
    EXPECT_EQ(configured(config(name, folder, {{"mask_prompt", mask}})).code, 0);
    std::istringstream lines(read_file(scratch(name + ".run/metrics.jsonl")));
    std::string line;
    while (std::getline(lines, line) && !Json::parse(line).contains("tokens")) continue;
    return Json::parse(line)["tokens"].get<int64_t>();
  };
  const int64_t masked = labels("masked", "true"), all = labels("all", "false");
  EXPECT_GT(masked, 0);
  EXPECT_GT(all, masked * 3 / 2);
}

TEST_F(MlxCli, validations_take_the_first_batches_and_tests_only_what_is_asked) {
  const std::string folder = data("d", completion);
  const auto outcome = [&](const std::string& name,
                           const std::map<std::string, std::string>& more) {
    const Answer answer = configured(config(name, folder, more), {"--json"});
    EXPECT_EQ(answer.code, 0) << answer.out;
    return Json::parse(answer.out.substr(answer.out.find("\n{") + 1), nullptr, false);
  };
  const Json some = outcome("some", {{"val_batches", "2"}, {"test", "false"}});
  ASSERT_TRUE(some.is_object());
  EXPECT_FALSE(some.contains("test_loss"));
  const Json all = outcome("all", {{"val_batches", "-1"}, {"test_batches", "-1"}});
  EXPECT_NE(some["valid_loss"], all["valid_loss"]);
  for (const char* file : {"valid", "test"}) {
    std::istringstream lines(read_file(folder + "/" + file + ".jsonl"));
    std::string first, line;
    for (int i = 0; i < 4 && std::getline(lines, line); ++i) first += line + "\n";
    write(std::string("d/") + file + ".jsonl", first);
  }
  const Json four = outcome("four", {{"val_batches", "-1"}, {"test_batches", "-1"}});
  EXPECT_EQ(four["valid_loss"], some["valid_loss"]);
  EXPECT_NE(four["test_loss"], all["test_loss"]);
}

TEST_F(MlxCli, dora_goes_on_from_its_adapter_and_is_computed_by_every_verb) {
  const std::string folder = data("d", completion);
  ASSERT_EQ(configured(config("first", folder, {{"fine_tune_type", "dora"}})).code, 0);
  EXPECT_EQ(adapter_config("first")["fine_tune_type"], "dora");
  const TensorMap factors = read_tensors(scratch("first/adapters.safetensors"));
  EXPECT_EQ(factors.at("model.layers.1.attention.wq.m").shape(), Shape{64});
  const Answer second =
      configured(config("second", folder,
                        {{"fine_tune_type", "dora"},
                         {"resume_adapter_file", scratch("first/adapters.safetensors")}}));
  ASSERT_EQ(second.code, 0) << second.out;
  const Answer wrong = configured(
      config("third", folder, {{"resume_adapter_file", scratch("first/adapters.safetensors")}}));
  expect_refusal(wrong, {"expected rank 4, alpha 8 as the student has, got rank 4, alpha 8, DoRA"});
  // Beside the weights, and added to them.
  const auto loss = [&](const Words& words) {
    Words all = {"eval", "--data",      scratch("valid.txt"), "--seq-len",
                 "32",   "--tokenizer", scratch("tokenizer"), "--json"};
    all.insert(all.end(), words.begin(), words.end());
    const Answer answer = millwright(all);
    const auto json = Json::parse(answer.out.substr(answer.out.find('{')), nullptr, false);
    return json.is_object() ? json["mean_loss"].get<double>() : NAN;
  };
  ASSERT_EQ(millwright({"convert", model("student.mlpackage"), scratch("c.mlpackage"), "--adapter",
                        scratch("second")})
                .code,
            0);
  const double beside = loss({model("student.mlpackage"), "--adapter", scratch("second")});
  EXPECT_NEAR(beside, loss({scratch("c.mlpackage")}), 1e-4);
  EXPECT_GT(std::fabs(beside - loss({model("student.mlpackage"), "--adapter", scratch("first")})),
            1e-3);
}

TEST_F(MlxCli, whole_weights_of_the_last_layers_are_written_as_a_package) {
  const Answer answer =
      configured(config("full", data("d", completion), {{"fine_tune_type", "full"}}));
  ASSERT_EQ(answer.code, 0) << answer.out;
  EXPECT_TRUE(fs::exists(scratch("full.mlpackage")));
  const Answer diff = millwright({"diff", model("student.mlpackage"), scratch("full.mlpackage")});
  EXPECT_TRUE(has(diff.out, "layers_1_")) << diff.out;
  EXPECT_FALSE(has(diff.out, "layers_0_")) << diff.out;
}

TEST_F(MlxCli, the_command_line_counts_more) {
  const std::string folder = data("d", completion);
  const Answer answer =
      configured(config("a", folder), {"--steps", "1", "--output", scratch("b.mlpackage")});
  ASSERT_EQ(answer.code, 0) << answer.out;
  EXPECT_TRUE(has(answer.out, "step 1/1")) << answer.out;
  EXPECT_TRUE(fs::exists(scratch("b-adapter/adapters.safetensors")));
  EXPECT_FALSE(fs::exists(scratch("a")));
}

TEST_F(MlxCli, a_file_that_mixes_both_kinds_of_keys_is_refused) {
  const std::string folder = data("d", completion);
  expect_refusal(configured(config("a", folder, {{"warmup", "3"}})),
                 {"a.yaml:", "'warmup' is an option of train", "a key of mlx-lm"});
  expect_refusal(configured(config("a", folder, {{"learning", "3"}})),
                 {"a.yaml:", "'learning' is no key of mlx-lm that is known here"});
  fs::remove(folder + "/test.jsonl");
  expect_refusal(configured(config("a", folder)), {"test: true: expected test.jsonl in"});
  EXPECT_FALSE(fs::exists(scratch("a")));
}

TEST_F(MlxCli, an_adapter_is_trained_on_and_written_in_the_form_it_has) {
  const std::string folder = data("d", completion);
  ASSERT_EQ(configured(config("a", folder)).code, 0);
  const Words more = {"--data", scratch("train.txt"), "--adapter", scratch("a")};
  const Answer answer = train("b", more);
  ASSERT_EQ(answer.code, 0) << answer.out;
  EXPECT_TRUE(fs::exists(scratch("b-adapter/adapters.safetensors")));
  EXPECT_TRUE(fs::exists(scratch("b.mlpackage")));
  // A map, where its modules are called otherwise.
  TensorMap renamed;
  std::string map;
  for (const auto& [name, factor] : read_tensors(scratch("a/adapters.safetensors"))) {
    const std::string end = name.substr(name.rfind('.'));
    std::string module = name.substr(0, name.size() - end.size());
    const std::string other = "net.part" + module.substr(std::string("model.layers").size());
    if (end == ".lora_a") {
      std::string weight = module.substr(std::string("model.").size());
      std::replace(weight.begin(), weight.end(), '.', '_');
      map += other + " = " + weight + "_weight\n";
    }
    renamed[other + end] = factor;
  }
  write_safetensors(scratch("a/adapters.safetensors"), renamed);
  const Words eval = {"eval",        model("student.mlpackage"), "--data",    scratch("valid.txt"),
                      "--tokenizer", scratch("tokenizer"),       "--adapter", scratch("a")};
  expect_refusal(millwright(eval), {"is like no name there", "--adapter-names says which module"});
  Words named = eval;
  named.insert(named.end(), {"--adapter-names", write("map.txt", map)});
  EXPECT_EQ(millwright(named).code, 0) << millwright(named).out;
  expect_refusal(millwright({"eval", model("student.mlpackage"), "--data", scratch("valid.txt"),
                             "--adapter-names", scratch("map.txt")}),
                 {"--adapter-names: expected --adapter beside it"});
}

}  // namespace
}  // namespace mw::testing
