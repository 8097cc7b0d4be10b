// The commands on the layouts in which language models are shipped, where they are installed.
#include "language_model_cli_testing.h"

namespace mw {
namespace {

using testing::Answer;
using testing::has;
using testing::LanguageModelCli;
using testing::Perturbed;
using testing::Words;
using testing::fs::path;

class SharedCases : public LanguageModelCli {
 protected:
  void SetUp() override {
    LanguageModelCli::SetUp();
    const char* root = std::getenv("MW_SHARED");
    if (root == nullptr || !std::filesystem::exists(path(root) / "cases")) {
      GTEST_SKIP() << "MW_SHARED has no cases";
    }
    root_ = root;
    tokenizer_ = root_ / "cases/last-token-logits-out-of-bounds/tokenizer.json";
  }
  [[nodiscard]] std::string file(const std::string& name) const { return root_ / name; }
  [[nodiscard]] nlohmann::json json(const std::string& name) const {
    return nlohmann::json::parse(testing::read_file(root_ / name));
  }
  Answer generated(const std::string& name, int tokens = 8) const {
    return millwright({"generate", file(name), "--prompt", "The quick", "--max-tokens",
                       std::to_string(tokens), "--tokenizer", tokenizer_});
  }
  Answer scored(const std::string& name, Words more = {}) const {
    more.insert(more.end(), {"--tokenizer", tokenizer_});
    return eval(file(name), more);
  }
  Answer trained(const std::string& name, Words more = {}) const {
    more.insert(more.end(), {"--tokenizer", tokenizer_, "--batch-size", "1"});
    return train_on(file(name), "out", more);
  }
  path root_;
  std::string tokenizer_;
};

TEST_F(SharedCases, logits_of_the_last_token) {
  const std::string folder = "cases/last-token-logits-out-of-bounds/";
  const std::string text = json(folder + "expected.json")["text"];
  for (const char* byte : {"0", "85"}) {
    const Perturbed perturbed(byte);
    for (const char* name : {"full.mlpackage", "model.mlpackage"}) {
      EXPECT_EQ(text_of(generated(folder + name)), "The quick" + text);
    }
  }
  const Answer answer = scored(folder + "model.mlpackage", {"--seq-len", "16"});
  EXPECT_NEAR(loss_of({.code = answer.code, .out = answer.out.substr(answer.out.find('{'))}),
              loss_of(scored(folder + "full.mlpackage", {"--seq-len", "16"})), 1e-5);
  EXPECT_EQ(trained(folder + "model.mlpackage").code, 0);
}

TEST_F(SharedCases, classes_on_another_axis_or_in_parts) {
  const std::string folder = "cases/logits-not-last-axis/";
  for (const char* byte : {"0", "85"}) {
    const Perturbed perturbed(byte);
    EXPECT_TRUE(text_of(generated(folder + "lm_nchw.mlpackage")).starts_with("The quick"));
    EXPECT_NEAR(loss_of(scored(folder + "lm_nchw.mlpackage")), 5.8, 0.5);
  }
  EXPECT_TRUE(text_of(generated(folder + "lm_split.mlpackage")).starts_with("The quick"));
  EXPECT_NEAR(loss_of(scored(folder + "lm_split.mlpackage")), 5.8, 0.5);
  const Answer answer = trained(folder + "lm_split.mlpackage");
  EXPECT_EQ(answer.code, 0) << answer.out;
}

TEST_F(SharedCases, one_or_four_tokens_a_call) {
  const std::string folder = "cases/decode-only-stateful-eval-train/";
  const auto expected = json(folder + "expected.json");
  const std::string text = expected["greedy_after_The_quick"];
  for (const std::string name : {"lm_dec1.mlpackage", "lm_pre4.mlpackage"}) {
    EXPECT_EQ(text_of(generated(folder + name)), "The quick" + text) << name;
    const auto json = nlohmann::json::parse(
        millwright({"eval", file(folder + name), "--data", file(folder + "v.txt"), "--tokenizer",
                    tokenizer_, "--json"})
            .out);
    EXPECT_EQ(json["tokens"], expected["tokens"]) << name;
    EXPECT_NEAR(json["mean_loss"], expected["loss_windows_of_24"].get<double>(), 5e-4) << name;
    const Answer answer = trained(folder + name);
    EXPECT_EQ(answer.code, 0) << answer.out;
  }
}

TEST_F(SharedCases, a_cache_of_fixed_width) {
  const std::string folder = "cases/fixed-width-cache/";
  const std::string text = json(folder + "expected.json")["greedy_after_The_quick"];
  for (const std::string name : {"lm_cachefixed.mlpackage", "lm_anemll.mlpackage"}) {
    EXPECT_EQ(text_of(generated(folder + name)), "The quick" + text) << name;
    EXPECT_NEAR(loss_of(scored(folder + name)), 5.8, 0.5);
    const Answer answer = trained(folder + name);
    EXPECT_EQ(answer.code, 0) << answer.out;
  }
}

// In fp16, as the references were made of.
constexpr const char* kLayouts[] = {"apple/stateful-fp16.mlpackage",
                                    "fixed/enumerated.mlpackage",
                                    "fixed/exporters-logits.mlpackage",
                                    "fixed/exporters-past.mlpackage",
                                    "fixed/last-logits-flexible.mlpackage",
                                    "fixed/rank1-tokens.mlpackage",
                                    "fixed/rank5-logits.mlpackage",
                                    "anemll/monolithic/llama_monolithic_argmax_lut6.mlpackage",
                                    "anemll/monolithic/llama_monolithic_full_lut6.mlpackage"};

TEST_F(SharedCases, layouts_of_language_models) {
  tokenizer_ = root_ / "lm/fixed/tokenizer.json";
  const auto reference = json("lm/fixed/reference.json");
  const std::string text = reference["greedy_text"];
  const auto generate = [&](const std::string& name) {
    return millwright({"generate", file("lm/" + name), "--prompt",
                       reference["prompt"].get<std::string>(), "--max-tokens", "40", "--tokenizer",
                       tokenizer_});
  };
  for (const char* name : kLayouts) EXPECT_EQ(text_of(generate(name)), text) << name;
  const std::string last =
      "holds logits for the last token only, and the model takes exactly 128 tokens";
  expect_sentence(generate("fixed/last-logits.mlpackage"), last);
  expect_sentence(scored("lm/fixed/last-logits.mlpackage"), last);
  expect_sentence(
      scored("lm/anemll/monolithic/llama_monolithic_argmax_lut6.mlpackage"),
      "output 'argmax_idx' names the likeliest token only, and eval needs the logits of "
      "all");
  const double want = loss_of(scored("lm/fixed/exporters-logits.mlpackage", {"--seq-len", "24"}));
  for (const char* name : {"apple/stateful-fp16.mlpackage", "fixed/enumerated.mlpackage",
                           "fixed/exporters-past.mlpackage", "fixed/rank1-tokens.mlpackage"}) {
    EXPECT_NEAR(loss_of(scored(std::string("lm/") + name, {"--seq-len", "24"})), want, 5e-4)
        << name;
    const Answer answer = trained(std::string("lm/") + name);
    EXPECT_EQ(answer.code, 0) << answer.out;
  }
}

// Each teaches a student of listed lengths, and learns from Apple's.
TEST_F(SharedCases, layouts_teach_each_other) {
  tokenizer_ = root_ / "lm/fixed/tokenizer.json";
  const auto distilled = [&](const std::string& teacher, const std::string& student,
                             const char* tokens) {
    return millwright({"distill",
                       "--teacher",
                       file("lm/" + teacher),
                       "--student",
                       file("lm/" + student),
                       "--tokenizer",
                       tokenizer_,
                       "--data",
                       scratch("train.txt"),
                       "--output",
                       scratch("out.mlpackage"),
                       "--steps",
                       "2",
                       "--batch-size",
                       "1",
                       "--seq-len",
                       tokens,
                       "--threads",
                       "1",
                       "--overwrite",
                       "--json"});
  };
  const auto loss = [](const Answer& answer) {
    EXPECT_EQ(answer.code, 0) << answer.out;
    const size_t begin = answer.out.find('{');
    return begin == std::string::npos
               ? 0
               : nlohmann::json::parse(answer.out.substr(begin))["loss"].get<double>();
  };
  // All have the same weights, the last two rounded.
  const double want =
      loss(distilled("fixed/enumerated.mlpackage", "fixed/enumerated.mlpackage", "32"));
  for (const std::string name : kLayouts) {
    const Answer answer = distilled(name, "fixed/enumerated.mlpackage", "32");
    if (has(name, "argmax")) {
      expect_sentence(answer, "output 'argmax_idx' names the likeliest token only");
    } else {
      EXPECT_NEAR(loss(answer), want, 1e-3) << name;
    }
  }
  // The weights of these are compressed.
  EXPECT_NEAR(loss(distilled("anemll/parts", "fixed/enumerated.mlpackage", "32")), want, 0.05);
  const std::pair<const char*, const char*> students[] = {
      {"anemll/parts", "24"},
      {"apple/stateful-fp16.mlpackage", "24"},
      {"fixed/exporters-logits.mlpackage", "128"},
      {"fixed/exporters-past.mlpackage", "24"},
      {"fixed/last-logits-flexible.mlpackage", "24"},
      {"fixed/last-logits.mlpackage", "128"},
      {"fixed/rank1-tokens.mlpackage", "128"},
      {"fixed/rank5-logits.mlpackage", "128"},
      {"anemll/monolithic/llama_monolithic_full_lut6.mlpackage", "24"}};
  for (const auto& [name, tokens] : students) {
    const Answer answer = distilled("apple/stateful-fp16.mlpackage", name, tokens);
    EXPECT_TRUE(has(answer.out, "the teacher runs apart")) << answer.out;
    EXPECT_GT(loss(answer), 0) << name;
  }
  const Answer last = distilled("fixed/last-logits.mlpackage", "fixed/enumerated.mlpackage", "32");
  EXPECT_EQ(last.code, 1);
  EXPECT_TRUE(has(last.out,
                  "holds logits for the last token only, and the model takes exactly 128 "
                  "tokens"))
      << last.out;
}

}  // namespace
}  // namespace mw
