// LoRA from the command line: what `train --lora-rank` writes, and what takes an adapter.
#include "base/tensor_file.h"
#include "training_cli_testing.h"

namespace mw::testing {
namespace {

class LoraCli : public TrainingCli {};

double loss_of(const Answer& eval) {
  const auto json = nlohmann::json::parse(eval.out.substr(eval.out.find('{')), nullptr, false);
  return json.is_object() ? json["mean_loss"].get<double>() : NAN;
}

TEST_F(LoraCli, an_adapter_is_written_alone_and_in_the_weights) {
  const Words lora = {"--lora-rank", "4", "--lora-targets", "*w*", "--lr", "0.01"};
  const std::string before = weights(model("student.mlpackage"));
  const Answer answer = train("a", lora);
  ASSERT_EQ(answer.code, 0) << answer.out;
  const std::string adapter = scratch("a-adapter.safetensors");
  EXPECT_TRUE(has(answer.out, adapter)) << answer.out;
  EXPECT_EQ(weights(model("student.mlpackage")), before);
  EXPECT_NE(weights(scratch("a.mlpackage")), before);
  // The same, written without a package.
  Words alone = train_words("b", lora);
  alone[4] = scratch("b.safetensors");
  const Answer second = run(alone);
  ASSERT_EQ(second.code, 0) << second.out;
  EXPECT_FALSE(fs::exists(scratch("b.mlpackage")));
  EXPECT_EQ(read_file(scratch("b.safetensors")), read_file(adapter));
  EXPECT_TRUE(has(read_file(run_folder("b") / "report.html"), "After"));

  ASSERT_EQ(millwright({"convert", model("student.mlpackage"), scratch("c.mlpackage"), "--adapter",
                        adapter})
                .code,
            0);
  EXPECT_EQ(weights(scratch("c.mlpackage")), weights(scratch("a.mlpackage")));
  expect_refusal(millwright({"convert", model("student.mlpackage"), scratch("d.mlpackage"),
                             "--adapter", adapter, "--function", "absent"}),
                 {"function 'absent': expected one of main"});
  const auto eval = [&](const Words& words) {
    Words all = {"eval", "--data",      scratch("valid.txt"),    "--seq-len",
                 "16",   "--tokenizer", model("tokenizer.json"), "--json"};
    all.insert(all.end(), words.begin(), words.end());
    return loss_of(millwright(all));
  };
  const double beside = eval({model("student.mlpackage"), "--adapter", adapter});
  EXPECT_NEAR(beside, eval({scratch("a.mlpackage")}), 1e-4);
  EXPECT_LT(beside, eval({model("student.mlpackage")}) - 0.05);
}

TEST_F(LoraCli, an_adapter_goes_on_from_a_checkpoint_bit_for_bit) {
  ASSERT_EQ(train("a", {"--lora-rank", "4"}).code, 0);
  ASSERT_EQ(train("b", {"--lora-rank", "4", "--steps", "4"}).code, 0);
  expect_refusal(train("b", {"--lora-rank", "4", "--lora-alpha", "1", "--resume"}),
                 {"expected --lora-alpha 8 as in this checkpoint, got 1"});
  ASSERT_EQ(train("b", {"--lora-rank", "4", "--resume"}).code, 0);
  expect_same_training("a", "b");
  EXPECT_EQ(read_file(scratch("a-adapter.safetensors")),
            read_file(scratch("b-adapter.safetensors")));
}

TEST_F(LoraCli, an_adapter_that_no_weight_can_take_up_is_refused) {
  ASSERT_EQ(train("a", {"--lora-rank", "4", "--steps", "1"}).code, 0);
  const std::string path = scratch("a-adapter.safetensors");
  TensorMap factors = read_tensors(path);
  for (auto& [name, factor] : factors) {
    factor = factor.clone();
    factor.set_number(0, 1e30);
  }
  write_safetensors(path, factors, safetensors_metadata(path));
  const Answer answer = millwright(
      {"convert", model("student.mlpackage"), scratch("b.mlpackage"), "--adapter", path});
  expect_refusal(answer, {"parameter '", "': expected numbers that fp"});
  EXPECT_FALSE(fs::exists(scratch("b.mlpackage")));
}

TEST_F(LoraCli, says_what_is_wrong_with_an_adapter) {
  expect_refusal(train("a", {"--lora-alpha", "8"}), {"--lora-alpha: expected --lora-rank"});
  expect_refusal(train("a", {"--lora-rank", "0"}), {"--lora-rank"});
  expect_refusal(train("a", {"--lora-rank", "4", "--lora-targets", "absent*"}),
                 {"lora: target 'absent*'", "these can be adapted"});
  Words words = train_words("a", {});
  words[4] = scratch("a.safetensors");
  expect_refusal(run(words), {"a.safetensors", "--lora-rank"});
  words.insert(words.end(), {"--lora-rank", "4", "--trainable", "*norm*"});
  expect_refusal(run(words), {"an adapter cannot hold what --trainable trains"});
  ASSERT_EQ(train("a", {"--lora-rank", "4", "--steps", "1"}).code, 0);
  expect_refusal(millwright({"eval", model("model.mlpackage"), "--data", scratch("valid.txt"),
                             "--adapter", scratch("a-adapter.safetensors")}),
                 {"a-adapter.safetensors", "another model"});
}

}  // namespace
}  // namespace mw::testing
