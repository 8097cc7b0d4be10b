// Tests of where `train`, `distill`, `convert` and `grad` write: what a run needs is never
// replaced, and a run folder is for one run at a time.
#include "training_cli_testing.h"

namespace mw::testing {
namespace {

class Outputs : public TrainingCli {
 protected:
  // A package of the example's student with a file of its owner in it.
  [[nodiscard]] std::string package(const std::string& name) const {
    fs::copy(model("student.mlpackage"), scratch(name), fs::copy_options::recursive);
    write(name + "/notes.txt", "precious");
    return scratch(name);
  }
  // A refusal that leaves all files as they are.
  void expect_refused(const Words& words, const Words& parts) const {
    const std::vector<std::string> before = files();
    Words whole = words;
    if (whole[0] == "train") whole.insert(whole.end(), {"--steps", "2", "--batch-size", "1"});
    expect_refusal(millwright(whole), parts);
    EXPECT_EQ(files(), before) << words[0];
  }
  [[nodiscard]] std::vector<std::string> files() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
      if (entry.path() != folder_ / "log") found.push_back(entry.path().string());
    }
    std::sort(found.begin(), found.end());
    return found;
  }
};

TEST_F(Outputs, what_a_run_needs_does_not_lie_inside_what_it_replaces) {
  const std::string output = package("a.mlpackage"), other = package("b.mlpackage");
  const std::string data = scratch("train.txt"), student = model("student.mlpackage");
  const std::string inside = write("a.mlpackage/train.txt", "some text to train on");
  fs::create_directories(output + "/run");
  fs::create_symlink(output, scratch("link.mlpackage"));
  fs::create_symlink(output + "/train.txt", scratch("link.txt"));
  const std::string config = write("a.mlpackage/config.yaml", "steps: 1\n");
  const std::string lies = ", which lies inside what it replaces";
  expect_refused(
      {"train", student, "--data", data, "--output", output, "--checkpoint-dir", output + "/run"},
      {"--output " + output + ": expected a path apart from --checkpoint-dir " + output + "/run" +
       lies});
  expect_refused(
      {"train", student, "--data", data, "--output", output, "--checkpoint-dir", output + "/new/x"},
      {lies});
  expect_refused({"train", student, "--data", data, "--output", output, "--checkpoint-dir", output},
                 {"--checkpoint-dir " + output + ", which it would replace"});
  expect_refused({"train", student, "--data", inside, "--output", output}, {"--data", lies});
  expect_refused({"train", student, "--data", inside, "--output", scratch("link.mlpackage")},
                 {"--data", lies});
  expect_refused({"train", student, "--data", scratch("link.txt"), "--output", output},
                 {"--data", lies});
  expect_refused({"train", student, "--data", data, "--eval-data", inside, "--output", output},
                 {"--eval-data", lies});
  expect_refused({"train", student, "--data", data, "--config", config, "--output", output},
                 {"--config", lies});
  expect_refused({"train", student, "--data", data, "--output", output, "--resume-from",
                  output + "/run/step-00000001.safetensors"},
                 {"--resume-from", lies});
  expect_refused(
      {"distill", "--teacher", other, "--student", student, "--data", data, "--output", other},
      {"--teacher " + other + ", which it would replace"});
  fs::rename(scratch("b.mlpackage"), output + "/inner.mlpackage");
  expect_refused({"train", output + "/inner.mlpackage", "--data", data, "--output", output},
                 {"the model " + output + "/inner.mlpackage" + lies});
  expect_refused({"convert", output + "/inner.mlpackage", output}, {"IN", lies});
  expect_refused({"convert", student, output, "--adapter", output + "/a.safetensors"},
                 {"--adapter", lies});
}

TEST_F(Outputs, run_and_grad_do_not_replace_what_they_read) {
  const std::string inputs = write("batch.safetensors", "whatever is in it");
  expect_refused({"grad", model("student.mlpackage"), "--inputs", inputs, "--output", inputs},
                 {"--output " + inputs + ": expected a path apart from --inputs " + inputs +
                  ", which it would replace"});
  expect_refused({"run", model("student.mlpackage"), "--inputs", inputs, "--output", inputs},
                 {"expected a path apart from --inputs " + inputs});
  expect_refused(
      {"run", model("student.mlpackage"), "--input", "input_ids=" + inputs, "--output", inputs},
      {"expected a path apart from --input " + inputs});
}

TEST_F(Outputs, what_is_no_model_is_refused_before_the_first_step) {
  fs::create_directories(scratch("a.mlpackage"));
  write("a.mlpackage/metadata.json", "{}");
  write("a.mlpackage/thesis.txt", "precious");
  expect_refused({"train", model("student.mlpackage"), "--data", scratch("train.txt"), "--output",
                  scratch("a.mlpackage")},
                 {"expected a Core ML model to replace, got a folder of other files"});
  const std::string source = package("source.mlpackage"), target = package("target.mlpackage");
  write("source.mlpackage/tokenizer.json", read_file(examples_ / "tokenizer.json"));
  write("target.mlpackage/tokenizer.json", "{}");
  expect_refused({"train", source, "--data", scratch("train.txt"), "--output", target},
                 {"target.mlpackage/tokenizer.json: expected the content of the file that comes"});
}

TEST_F(Outputs, a_link_to_nothing_is_refused_before_the_first_step) {
  fs::create_symlink("nothing.mlpackage", scratch("a.mlpackage"));
  expect_refused({"train", model("student.mlpackage"), "--data", scratch("train.txt"), "--output",
                  scratch("a.mlpackage")},
                 {"expected a folder to replace, got a link to nothing"});
}

TEST_F(Outputs, a_slash_may_follow_the_name_of_a_folder) {
  for (const Words& kind : {Words{"a.mlpackage"}, Words{"b", "--adapter-format", "peft"}}) {
    Words words = {"train",        model("student.mlpackage"),
                   "--data",       scratch("train.txt"),
                   "--steps",      "1",
                   "--lora-rank",  "1",
                   "--batch-size", "1",
                   "--output",     scratch(kind[0]) + "/"};
    words.insert(words.end(), kind.begin() + 1, kind.end());
    const Answer answer = millwright(words);
    EXPECT_EQ(answer.code, 0) << answer.out;
    EXPECT_TRUE(fs::is_directory(scratch(kind[0])));
  }
  EXPECT_TRUE(fs::exists(scratch("a.run")));
}

TEST_F(Outputs, a_package_that_is_trained_in_place_keeps_what_else_is_in_it) {
  const std::string output = package("a.mlpackage");
  write("a.mlpackage/.hidden", "x");
  fs::create_directories(output + "/runs");
  write("a.mlpackage/runs/log", "y");
  fs::copy(examples_ / "tokenizer.json", output);
  const Answer answer = millwright({"train", output, "--data", scratch("train.txt"), "--steps", "1",
                                    "--batch-size", "1", "--seq-len", "16", "--output", output});
  ASSERT_EQ(answer.code, 0) << answer.out;
  EXPECT_EQ(read_file(output + "/notes.txt") + read_file(output + "/.hidden") +
                read_file(output + "/runs/log"),
            "preciousxy");
  EXPECT_EQ(read_file(output + "/tokenizer.json"), read_file(examples_ / "tokenizer.json"));
  EXPECT_NE(weights(output), weights(model("student.mlpackage")));
}

TEST_F(Outputs, a_run_folder_is_for_one_run_at_a_time) {
  const Words endless = {"--steps", "1000000", "--checkpoint-every", "1000000"};
  {
    Process first(train_words("a", endless), folder_ / "first-log");
    wait_for_lines(first, run_folder("a") / "metrics.jsonl", 1);
    for (const char* more : {"--overwrite", "--resume"}) {
      const Answer second = train("a", {more, "--seed", "1"});
      expect_refusal(second, {run_folder("a").string() + ": another process works in this folder"});
    }
    EXPECT_EQ(train("b", {"--steps", "1"}).code, 0) << "another folder is free";
  }
  EXPECT_EQ(train("a", {"--overwrite", "--steps", "1"}).code, 0) << "free when the first is gone";
}

}  // namespace
}  // namespace mw::testing
