// The commands on models in parts.
#include "language_model_cli_testing.h"
#include "parts_testing.h"

namespace mw {
namespace {

using testing::Answer;
using testing::has;
using testing::LanguageModelCli;
using testing::SmallParts;
using testing::Words;
using testing::fs::path;

class PartsCli : public LanguageModelCli {
 protected:
  [[nodiscard]] std::string folder(const SmallParts& m = {},
                                   const std::string& name = "model") const {
    return testing::write_small_parts(scratch(name), m);
  }
  Answer train_parts(const std::string& model, const std::string& output, Words more = {}) const {
    Words words = {
        "train", model,       "--data", scratch("train.txt"), "--output", output,         "--steps",
        "3",     "--threads", "1",      "--seq-len",          "8",        "--batch-size", "1"};
    words.insert(words.end(), more.begin(), more.end());
    return millwright(words);
  }
};

TEST_F(PartsCli, generates_and_scores_as_one_package_does) {
  const std::string model = folder(), one = scratch("one.mlpackage");
  const Answer written = millwright({"convert", model, one});
  ASSERT_EQ(written.code, 0) << written.out;
  EXPECT_EQ(text_of(generate(model)), text_of(generate(one)));
  EXPECT_NEAR(loss_of(eval(model, {"--seq-len", "12"})), loss_of(eval(one, {"--seq-len", "12"})),
              1e-6);
}

TEST_F(PartsCli, trains_into_a_folder) {
  const std::string model = folder(), out = scratch("out");
  const Answer trained = train_parts(model, out);
  ASSERT_EQ(trained.code, 0) << trained.out;
  EXPECT_EQ(generate(out).code, 0);
  const Answer same = millwright({"diff", model, model});
  EXPECT_EQ(same.code, 0) << same.out;
  EXPECT_TRUE(has(same.out, "part small_embeddings.mlpackage\nequal\n")) << same.out;
  const auto parts = nlohmann::json::parse(millwright({"diff", model, out, "--json"}).out)["parts"];
  ASSERT_EQ(parts.size(), 4U);
  for (const auto& part : parts) {
    EXPECT_FALSE(part["equal"]) << part.dump();
    EXPECT_TRUE(part["operations"].empty()) << part.dump();
    EXPECT_TRUE(part["interface"].empty()) << part.dump();
    EXPECT_FALSE(part["weights"].empty()) << part.dump();
  }
  // Once more over what is there; a sentence where something else is.
  EXPECT_EQ(train_parts(model, out, {"--overwrite"}).code, 0);
  write("letter.txt", "dear");
  expect_sentence(train_parts(model, scratch("letter.txt")),
                  "expected a model in parts to replace");
}

TEST_F(PartsCli, adapts) {
  const std::string model = folder(), out = scratch("out");
  const Answer trained = train_parts(model, out, {"--lora-rank", "2"});
  ASSERT_EQ(trained.code, 0) << trained.out;
  const std::string adapter = scratch("out-adapter.safetensors");
  ASSERT_TRUE(std::filesystem::exists(adapter));
  const Answer fused = millwright({"convert", model, scratch("fused"), "--adapter", adapter});
  ASSERT_EQ(fused.code, 0) << fused.out;
  const std::string text = text_of(generate(out));
  EXPECT_EQ(text_of(generate(scratch("fused"))), text);
  EXPECT_EQ(generate(model, {"--adapter", adapter}).code, 0);
}

TEST_F(PartsCli, learns_from_a_teacher_and_is_one) {
  const std::string model = folder(), plain = model_of({}, "plain");
  const auto distill = [&](const std::string& teacher, const std::string& student,
                           const std::string& output) {
    return millwright({"distill", "--teacher", teacher, "--student", student, "--data",
                       scratch("train.txt"), "--output", output, "--steps", "2", "--seq-len", "8",
                       "--batch-size", "1", "--threads", "1"});
  };
  const Answer as_student = distill(plain, model, scratch("student"));
  EXPECT_EQ(as_student.code, 0) << as_student.out;
  EXPECT_EQ(generate(scratch("student")).code, 0);
  const Answer as_teacher = distill(model, plain, scratch("taught.mlpackage"));
  EXPECT_EQ(as_teacher.code, 0) << as_teacher.out;
}

TEST_F(PartsCli, inspects) {
  const Answer answer = millwright({"inspect", folder()});
  EXPECT_EQ(answer.code, 0);
  for (const char* part :
       {"model  ML Program, 4 parts", "parts  named by meta.yaml",
        "chunk_02    small_FFN_PF_chunk_02of02.mlpackage  infer, prefill", "function infer",
        "(default)", "function prefill", "cache of 24 tokens in model_model_kv_cache_0",
        "logits of 300 tokens at every position in logits1, logits2"}) {
    EXPECT_TRUE(has(answer.out, part)) << part << " is not in: " << answer.out;
  }
  const auto json = nlohmann::json::parse(millwright({"inspect", scratch("model"), "--json"}).out);
  EXPECT_EQ(json["parts"].size(), 4U);
  EXPECT_EQ(json["container"], "4 parts");
}

TEST_F(PartsCli, links) {
  const std::string model = folder();
  const auto part = [&](const std::string& name) { return path(model) / name; };
  const Words parts = {part("small_embeddings.mlpackage"), part(testing::chunk_file({}, 1)),
                       part(testing::chunk_file({}, 2)), part("small_lm_head.mlpackage")};
  const auto link = [&](const std::string& output) {
    Words words = {"link"};
    words.insert(words.end(), parts.begin(), parts.end());
    words.insert(words.end(), {"--output", output});
    return millwright(words);
  };
  const std::string text = text_of(generate(model));
  for (const std::string out : {"linked", "linked.mlpackage"}) {
    const Answer linked = link(scratch(out));
    EXPECT_EQ(linked.code, 0) << linked.out;
    EXPECT_EQ(text_of(generate(scratch(out))), text);
  }
  expect_sentence(millwright({"link", parts[0], parts[3], parts[1], "--output", scratch("no")}),
                  "went to part_02 (small_lm_head.mlpackage) already");
  expect_sentence(link(parts[0]), "expected a path apart from the part");
}

TEST_F(PartsCli, refuses_in_a_sentence) {
  expect_sentence(generate(folder({.vocabulary = 120}, "vocabulary")), "120");
  const std::string model = folder();
  std::filesystem::remove_all(path(model) / testing::chunk_file({}, 2));
  for (const char* command : {"inspect", "generate", "eval", "train", "diff", "convert"}) {
    Words words = {command, model};
    if (command == std::string("generate")) words.insert(words.end(), {"--prompt", "a"});
    if (command == std::string("eval")) words.insert(words.end(), {"--data", scratch("valid.txt")});
    if (command == std::string("diff")) words.push_back(model);
    if (command == std::string("convert")) words.push_back(scratch("x.mlpackage"));
    if (command == std::string("train")) {
      words.insert(words.end(), {"--data", scratch("train.txt"), "--output", scratch("x")});
    }
    expect_sentence(millwright(words),
                    "meta.yaml: ffn: chunk 2 of 2 (num_chunks): expected the part");
  }
  EXPECT_FALSE(std::filesystem::exists(scratch("x")));
}

// In fp16, the chunks' weights in palettes of 16 numbers.
TEST_F(PartsCli, takes_parts_that_a_converter_wrote) {
  const char* root = std::getenv("MW_SHARED");
  const path parts = path(root == nullptr ? "" : root) / "lm/anemll/parts";
  if (root == nullptr || !std::filesystem::exists(parts)) {
    GTEST_SKIP() << "MW_SHARED has no lm/anemll/parts";
  }
  const auto score = [&](const std::string& model) {
    return loss_of(eval(model, {"--tokenizer", parts / "tokenizer.json"}));
  };
  const double before = score(parts);
  EXPECT_GT(before, 2.5);
  EXPECT_LT(before, 3);
  const std::string out = scratch("out");
  for (const Words& more : {Words{"--overwrite"}, Words{"--overwrite", "--lora-rank", "4"}}) {
    const Answer trained = train_parts(parts, out, more);
    ASSERT_EQ(trained.code, 0) << trained.out;
    EXPECT_LT(score(out), before + 0.1);
    EXPECT_EQ(millwright({"generate", out, "--prompt", "ROMEO:", "--max-tokens", "4"}).code, 0);
  }
}

}  // namespace
}  // namespace mw
