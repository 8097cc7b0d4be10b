// What the commands say and write of weights that functions share, of adapters from elsewhere, of
// what a run trains, and of runs that end before their steps do.
#include "base/npy_file.h"
#include "base/tensor_file.h"
#include "training_cli_testing.h"

namespace mw::testing {
namespace {

class SharingCli : public TrainingCli {
 protected:
  void SetUp() override {
    TrainingCli::SetUp();
    if (IsSkipped()) return;
    Tensor x(DType::kF32, {16, 4}), labels(DType::kF32, {16, 4});
    for (int64_t i = 0; i < 64; ++i) {
      x.set_number(i, static_cast<double>(i * 7 % 11) / 5 - 1);
      labels.set_number(i, static_cast<double>(i * 5 % 13) / 6 - 1);
    }
    Tensor two(DType::kF32, {2, 4});
    for (int64_t i = 0; i < 8; ++i) two.set_number(i, x.number_at(i));
    write_safetensors(scratch("data.safetensors"), {{"x", x}, {"labels", labels}});
    write_safetensors(scratch("x.safetensors"), {{"x", two}});
  }
  [[nodiscard]] static std::string two_functions() {
    return fs::path(std::getenv("MW_TEST_DATA")) / "packages/two_functions.mlpackage";
  }
  // Training of the function whose output is twice the linear one; the other's is three times.
  Answer train_double(const std::string& output, const Words& more = {}) const {
    Words words = {"train",        two_functions(),
                   "--function",   "double",
                   "--data",       scratch("data.safetensors"),
                   "--output",     scratch(output),
                   "--steps",      "5",
                   "--lr",         "0.05",
                   "--batch-size", "2",
                   "--loss",       "mse",
                   "--threads",    "1",
                   "--overwrite"};
    words.insert(words.end(), more.begin(), more.end());
    return millwright(words);
  }
  Tensor answer(const std::string& package, const std::string& function) const {
    const std::string out = scratch("y.safetensors");
    const Answer run = millwright({"run", package, "--function", function, "--inputs",
                                   scratch("x.safetensors"), "--output", out});
    EXPECT_EQ(run.code, 0) << run.out;
    return read_tensors(out).at("y");
  }
  // Whether the second function still gives one and a half times what the first does.
  bool is_shared(const std::string& package) const {
    const Tensor a = answer(package, "double"), b = answer(package, "triple");
    for (int64_t i = 0; i < a.count(); ++i) {
      if (std::fabs(1.5 * a.number_at(i) - b.number_at(i)) > 1e-5) return false;
    }
    return true;
  }
  bool is_as_before(const std::string& package, const std::string& function) const {
    return bit_equal(answer(package, function), answer(two_functions(), function));
  }
};

TEST_F(SharingCli, training_one_function_changes_the_others_that_share_its_weights) {
  const Answer trained = train_double("a.mlpackage");
  ASSERT_EQ(trained.code, 0) << trained.out;
  EXPECT_TRUE(has(trained.out, "changes functions double, triple (1 of 1 weights)")) << trained.out;
  EXPECT_TRUE(is_shared(scratch("a.mlpackage")));
  EXPECT_FALSE(is_as_before(scratch("a.mlpackage"), "double"));
  EXPECT_EQ(weights(scratch("a.mlpackage")).size(), weights(two_functions()).size());

  const Answer alone = train_double("b.mlpackage", {"--only-function"});
  ASSERT_EQ(alone.code, 0) << alone.out;
  EXPECT_TRUE(has(alone.out, "changes function double alone")) << alone.out;
  EXPECT_FALSE(is_as_before(scratch("b.mlpackage"), "double"));
  EXPECT_TRUE(is_as_before(scratch("b.mlpackage"), "triple"));
}

TEST_F(SharingCli, an_adapter_is_added_for_every_function_that_shares_the_weight) {
  const Answer trained = train_double("a.mlpackage", {"--lora-rank", "2", "--lora-alpha", "8"});
  ASSERT_EQ(trained.code, 0) << trained.out;
  EXPECT_TRUE(has(trained.out, "changes functions double, triple (1 of 1 weights)")) << trained.out;
  EXPECT_TRUE(is_shared(scratch("a.mlpackage")));
  EXPECT_FALSE(is_as_before(scratch("a.mlpackage"), "triple"));
  EXPECT_EQ(weights(scratch("a.mlpackage")).size(), weights(two_functions()).size());
  const auto convert = [&](const std::string& output, const Words& more) {
    Words words = {"convert",
                   two_functions(),
                   scratch(output),
                   "--adapter",
                   scratch("a-adapter.safetensors"),
                   "--function",
                   "double"};
    words.insert(words.end(), more.begin(), more.end());
    const Answer answer = millwright(words);
    EXPECT_EQ(answer.code, 0) << answer.out;
    return answer.out;
  };
  EXPECT_TRUE(has(convert("b.mlpackage", {}), "changes functions double, triple"));
  EXPECT_EQ(weights(scratch("b.mlpackage")), weights(scratch("a.mlpackage")));
  EXPECT_TRUE(has(convert("c.mlpackage", {"--only-function"}), "changes function double alone"));
  EXPECT_FALSE(is_as_before(scratch("c.mlpackage"), "double"));
  EXPECT_TRUE(is_as_before(scratch("c.mlpackage"), "triple"));
  // An adapter alone changes no package.
  const Answer adapter = train_double("d.safetensors", {"--lora-rank", "2"});
  ASSERT_EQ(adapter.code, 0) << adapter.out;
  EXPECT_FALSE(has(adapter.out, "changes functions")) << adapter.out;
}

TEST_F(SharingCli, an_adapter_is_written_and_taken_as_peft_has_it) {
  const Words lora = {"--lora-rank", "2", "--adapter-format", "peft"};
  const Answer trained = train_double("a.mlpackage", lora);
  ASSERT_EQ(trained.code, 0) << trained.out;
  EXPECT_TRUE(fs::exists(scratch("a-adapter/adapter_model.safetensors")));
  const auto config = nlohmann::json::parse(read_file(scratch("a-adapter/adapter_config.json")));
  EXPECT_EQ(config["peft_type"], "LORA");
  EXPECT_EQ(config["r"], 2);
  EXPECT_EQ(config["lora_alpha"], 4);
  const Answer converted = millwright({"convert", two_functions(), scratch("b.mlpackage"),
                                       "--adapter", scratch("a-adapter"), "--function", "double"});
  ASSERT_EQ(converted.code, 0) << converted.out;
  EXPECT_EQ(weights(scratch("b.mlpackage")), weights(scratch("a.mlpackage")));
  const Answer alone = train_double("c", lora);
  ASSERT_EQ(alone.code, 0) << alone.out;
  EXPECT_EQ(read_file(scratch("c/adapter_model.safetensors")),
            read_file(scratch("a-adapter/adapter_model.safetensors")));
  expect_refusal(train_double("d.safetensors", lora), {"the name of a folder"});
  expect_refusal(train_double("d.mlpackage", {"--adapter-format", "peft"}),
                 {"--adapter-format: expected --lora-rank"});
  expect_refusal(train_double("d.mlpackage", {"--lora-rank", "2", "--adapter-names", "x"}),
                 {"--adapter-names: expected --adapter-format peft"});
  EXPECT_FALSE(fs::exists(scratch("d.mlpackage")));
}

TEST_F(SharingCli, a_run_begins_with_what_it_trains_and_why_not_the_rest) {
  const Answer some = train("a", {"--steps", "1", "--trainable", "*norm*", "--json"});
  ASSERT_EQ(some.code, 0) << some.out;
  EXPECT_TRUE(has(some.out, "trains ")) << some.out;
  EXPECT_TRUE(has(some.out, "not trained: ")) << some.out;
  EXPECT_TRUE(has(some.out, "(not chosen)")) << some.out;
  const auto json = nlohmann::json::parse(some.out.substr(some.out.find('{')), nullptr, false);
  ASSERT_TRUE(json.is_object()) << some.out;
  EXPECT_GT(json["trained_numbers"].get<int64_t>(), 0);
  EXPECT_LT(json["trained_numbers"].get<int64_t>(), json["all_numbers"].get<int64_t>() / 10);
  const Answer lora = train("b", {"--steps", "1", "--lora-rank", "2"});
  EXPECT_TRUE(has(lora.out, "trains adapters of ")) << lora.out;
  EXPECT_TRUE(has(lora.out, "(frozen; LoRA adapts it)")) << lora.out;
  const Tensor zeros(DType::kF32, {2, 8});
  write_npz(scratch("zeros.npz"), {{"x", zeros}, {"labels", zeros}});
  const Answer compressed =
      millwright({"train", fs::path(std::getenv("MW_TEST_DATA")) / "packages/palette.mlpackage",
                  "--data", scratch("zeros.npz"), "--loss", "mse", "--trainable", "y_bias_0",
                  "--steps", "1", "--output", scratch("c.mlpackage")});
  EXPECT_TRUE(has(compressed.out, "trains 1 of 2 parameters: 8 of 72 numbers")) << compressed.out;
  EXPECT_TRUE(has(compressed.out,
                  "64 of the model's numbers are compressed and stay as they are; --lora-rank "
                  "trains adapters beside them"))
      << compressed.out;
}

// Validation at steps 0, 1, 2, ... gets worse with the learning rate given.
Words hopeless(const std::string& valid) {
  return {"--eval-data", valid, "--eval-every", "1", "--lr", "2", "--steps", "12", "--clip", "1"};
}

TEST_F(SharingCli, out_of_patience_a_run_stops_and_writes_its_best_weights) {
  Words words = hopeless(scratch("valid.txt"));
  words.insert(words.end(), {"--patience", "3"});
  const Answer answer = train("a", words);
  ASSERT_EQ(answer.code, 0) << answer.out;
  EXPECT_TRUE(
      has(answer.out, "no new best in 3 validations; the weights written are those of step "))
      << answer.out;
  const auto last =
      training::read_checkpoint(training::checkpoints_in(run_folder("a")).back().path);
  EXPECT_LT(last.position.step, 12);
  EXPECT_EQ(last.position.step, last.position.best_step + 3);
  EXPECT_EQ(last.position.stale, 3);
  // What was written is the best checkpoint, and no step was too many.
  const Answer best =
      millwright({"train", model("student.mlpackage"), "--steps", "0", "--resume-from",
                  run_folder("a") / "best.safetensors", "--output", scratch("best.mlpackage"),
                  "--checkpoint-dir", scratch("other.run")});
  ASSERT_EQ(best.code, 0) << best.out;
  EXPECT_EQ(weights(scratch("a.mlpackage")), weights(scratch("best.mlpackage")));
  // Going on finds nothing to do, and writes the same again.
  words.push_back("--resume");
  fs::remove_all(scratch("a.mlpackage"));
  ASSERT_EQ(train("a", words).code, 0);
  EXPECT_EQ(weights(scratch("a.mlpackage")), weights(scratch("best.mlpackage")));
}

TEST_F(SharingCli, patience_is_counted_on_where_a_run_goes_on) {
  Words words = hopeless(scratch("valid.txt"));
  words.insert(words.end(), {"--patience", "3", "--checkpoint-every", "1"});
  ASSERT_EQ(train("whole", words).code, 0);
  ASSERT_EQ(train("parts", words).code, 0);
  // The last checkpoint goes, with the validation that ended the run.
  fs::remove(training::checkpoints_in(run_folder("parts")).back().path);
  fs::remove_all(scratch("parts.mlpackage"));
  words.push_back("--resume");
  const Answer answer = train("parts", words);
  ASSERT_EQ(answer.code, 0) << answer.out;
  expect_same_training("whole", "parts");
  EXPECT_EQ(lines_of(run_folder("parts") / "metrics.jsonl"),
            lines_of(run_folder("whole") / "metrics.jsonl"));
}

TEST_F(SharingCli, the_best_weights_come_along_into_another_run_folder) {
  Words words = hopeless(scratch("valid.txt"));
  words.insert(words.end(), {"--patience", "100", "--checkpoint-every", "4"});
  ASSERT_EQ(train("a", words).code, 0);
  const fs::path checkpoint = training::checkpoints_in(run_folder("a")).front().path;
  const auto best = training::read_checkpoint(run_folder("a") / "best.safetensors").position;
  ASSERT_LT(best.step, 8);
  words.insert(words.end(), {"--resume-from", checkpoint});
  const Answer answer = train("b", words);
  ASSERT_EQ(answer.code, 0) << answer.out;
  EXPECT_EQ(weights(scratch("b.mlpackage")), weights(scratch("a.mlpackage")));
  // Without the file the run looks for a best of its own, and says so before the first step.
  fs::remove(run_folder("a") / "best.safetensors");
  const Answer anew = train("c", words);
  ASSERT_EQ(anew.code, 0) << anew.out;
  EXPECT_TRUE(has(anew.out, "the best weights so far, those of step ")) << anew.out;
  EXPECT_LT(anew.out.find("the best weights so far"), anew.out.find("minimises")) << anew.out;
  EXPECT_GT(training::read_checkpoint(run_folder("c") / "best.safetensors").position.step, 8);
}

TEST_F(SharingCli, with_patience_left_the_best_weights_are_written_too) {
  Words words = hopeless(scratch("valid.txt"));
  words.insert(words.end(), {"--patience", "100", "--json"});
  const Answer answer = train("a", words);
  ASSERT_EQ(answer.code, 0) << answer.out;
  const auto json = nlohmann::json::parse(answer.out.substr(answer.out.find('{')), nullptr, false);
  ASSERT_TRUE(json.is_object()) << answer.out;
  EXPECT_EQ(json["step"], 12);
  EXPECT_EQ(json["stopped_early"], false);
  EXPECT_EQ(json["written_step"], json["best_step"]);
  EXPECT_LT(json["best_step"].get<int64_t>(), 12);
}

TEST_F(SharingCli, patience_needs_validations) {
  expect_refusal(train("a", {"--patience", "2"}), {"--patience: expected --eval-data"});
  expect_refusal(train("a", {"--patience", "0", "--eval-data", scratch("valid.txt")}),
                 {"--patience"});
  expect_refusal(
      train("a", {"--patience", "2", "--eval-data", scratch("valid.txt"), "--eval-every", "0"}),
      {"--patience: expected validations on the way"});
  EXPECT_FALSE(fs::exists(scratch("a.mlpackage")));
}

}  // namespace
}  // namespace mw::testing
