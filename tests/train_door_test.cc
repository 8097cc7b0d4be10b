// train(): a whole run by each face of the library gives what the command gives; what ends it
// before its end leaves a checkpoint to go on from and nothing half-written.
#include <fmt/format.h>

#include <regex>

#include "millwright/millwright.h"
#include "millwright/training.hpp"
#include "train/metrics.h"
#include "training_cli_testing.h"

namespace mw {
namespace {

namespace fs = std::filesystem;
using testing::has;
using testing::read_file;

class TrainDoor : public testing::TrainingCli {
 protected:
  // As `train_words()` has them.
  [[nodiscard]] TrainingSettings settings(const std::string& name) const {
    TrainingSettings all;
    all.run.data = scratch("train.txt");
    all.run.output = scratch(name + ".mlpackage");
    all.run.eval_data = scratch("valid.txt");
    all.run.eval_every = 4;
    all.run.batch_size = 2;
    all.run.seq_len = 16;
    all.run.steps = 8;
    all.run.checkpoint_every = 2;
    all.student.optimizer = AdamW{.learning_rate = 0.01F};
    all.student.schedule.kind = Schedule::Kind::kCosine;
    return all;
  }
  [[nodiscard]] testing::Answer by_command(const std::string& name) const {
    return train(name, {"--eval-data", scratch("valid.txt"), "--eval-every", "4", "--lr", "0.01",
                        "--schedule", "cosine"});
  }
  [[nodiscard]] CoreMLModelWrapper student() const {
    return CoreMLModelWrapper::load(model("student.mlpackage"), {.threads = 1});
  }
  [[nodiscard]] std::vector<double> losses_in(const std::string& name) const {
    return losses_of(training::read_metrics(run_folder(name) / "metrics.jsonl"));
  }
  static std::vector<double> losses_of(const std::vector<StepRecord>& steps) {
    std::vector<double> losses;
    for (const StepRecord& record : steps) {
      if (record.loss) losses.push_back(*record.loss);
      if (record.valid_loss) losses.push_back(*record.valid_loss);
    }
    return losses;
  }
  // The rows of settings of a page, without its output.
  [[nodiscard]] std::string settings_of_page(const std::string& name) const {
    const std::string page = read_file(run_folder(name) / "report.html");
    const std::regex row("<tr>.*?</tr>|minimises.*");
    std::string rows;
    for (std::sregex_iterator at(page.begin(), page.end(), row), end; at != end; ++at) {
      if (!has(at->str(), name + ".mlpackage")) rows += at->str() + "\n";
    }
    return rows;
  }
  [[nodiscard]] bool is_written(const std::string& name) const {
    return fs::exists(scratch(name + ".mlpackage"));
  }
};

TEST_F(TrainDoor, gives_the_losses_the_weights_and_the_report_of_the_command) {
  ASSERT_EQ(by_command("a").code, 0);
  std::vector<int64_t> told;
  const TrainingReport report =
      mw::train(student(), settings("b"), [&](const TrainingProgress& progress) {
        told.push_back(progress.record.step);
        return true;
      });
  EXPECT_EQ(told, (std::vector<int64_t>{1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(losses_of(report.steps), losses_in("a"));
  EXPECT_EQ(losses_in("a").size(), 8U + 3U);
  expect_same_training("a", "b");
  EXPECT_EQ(settings_of_page("a"), settings_of_page("b"));
  EXPECT_TRUE(has(settings_of_page("b"), "batch_size")) << settings_of_page("b");
  EXPECT_EQ(report.step, 8);
  EXPECT_EQ(report.loss, report.steps.back().loss);
  EXPECT_EQ(report.valid_loss, report.steps.back().valid_loss);
  EXPECT_GT(report.tokens_per_second(), 0);
  EXPECT_EQ(report.output, scratch("b.mlpackage"));
  EXPECT_TRUE(fs::exists(report.html));
  EXPECT_TRUE(fs::exists(report.checkpoint));
  EXPECT_FALSE(report.interrupted);
  ASSERT_FALSE(report.notes.empty());
  EXPECT_TRUE(report.notes[0].starts_with("trains 20 of 47 parameters")) << report.notes[0];
}

TEST_F(TrainDoor, of_c_gives_the_losses_of_the_command) {
  ASSERT_EQ(by_command("a").code, 0);
  const mw_load_options load = {.function = nullptr, .threads = 1};
  mw_model* opened = nullptr;
  ASSERT_EQ(mw_model_load(model("student.mlpackage").c_str(), &load, &opened), MW_OK);
  mw_settings* all = nullptr;
  ASSERT_EQ(mw_settings_create(&all), MW_OK);
  const std::string rows[][2] = {{"data", scratch("train.txt")},
                                 {"output", scratch("c.mlpackage")},
                                 {"eval_data", scratch("valid.txt")},
                                 {"eval_every", "4"},
                                 {"batch_size", "2"},
                                 {"seq_len", "16"},
                                 {"steps", "8"},
                                 {"checkpoint_every", "2"},
                                 {"learning_rate", "0.01"},
                                 {"schedule", "cosine"}};
  for (const auto& [name, value] : rows) {
    ASSERT_EQ(mw_settings_set(all, name.c_str(), value.c_str()), MW_OK) << mw_last_error();
  }
  const mw_training_report* report = nullptr;
  ASSERT_EQ(mw_train(opened, all, nullptr, nullptr, &report), MW_OK) << mw_last_error();
  std::vector<double> losses;
  for (size_t i = 0; i < report->step_count; ++i) {
    const mw_training_step& step = report->steps[i];
    if (!std::isnan(step.loss)) losses.push_back(step.loss);
    if (!std::isnan(step.valid_loss)) losses.push_back(step.valid_loss);
  }
  EXPECT_EQ(losses, losses_in("a"));
  EXPECT_STREQ(report->output, scratch("c.mlpackage").c_str());
  EXPECT_TRUE(has(read_file(report->html), "finished after 8 steps"));
  expect_same_training("a", "c");
  EXPECT_EQ(settings_of_page("a"), settings_of_page("c"));
  mw_training_report_free(report);
  mw_settings_free(all);
  mw_model_free(opened);
}

TEST_F(TrainDoor, distils_as_the_command_does) {
  const testing::Answer answer = millwright({"distill",
                                             "--student",
                                             model("student.mlpackage"),
                                             "--teacher",
                                             model("model.mlpackage"),
                                             "--data",
                                             scratch("train.txt"),
                                             "--output",
                                             scratch("a.mlpackage"),
                                             "--steps",
                                             "3",
                                             "--batch-size",
                                             "2",
                                             "--seq-len",
                                             "16",
                                             "--threads",
                                             "1",
                                             "--alpha",
                                             "0.25",
                                             "--temperature",
                                             "3"});
  ASSERT_EQ(answer.code, 0) << answer.out;
  TrainingSettings all;
  all.run = settings("b").run;
  all.run.eval_data.clear();
  all.run.steps = 3;
  all.distill = {.temperature = 3, .alpha = 0.25F};
  const auto teacher = CoreMLModelWrapper::load(model("model.mlpackage"), {.threads = 1});
  EXPECT_EQ(losses_of(distill(student(), teacher, all).steps), losses_in("a"));
  expect_same_training("a", "b");
}

TEST_F(TrainDoor, stops_where_it_is_told_to_and_goes_on_to_the_same_bits) {
  ASSERT_EQ(by_command("a").code, 0);
  TrainingSettings all = settings("b");
  const TrainingReport stopped =
      mw::train(student(), all, [](const TrainingProgress& p) { return p.record.step < 3; });
  EXPECT_TRUE(stopped.interrupted);
  EXPECT_EQ(stopped.step, 3);
  EXPECT_TRUE(stopped.output.empty());
  EXPECT_FALSE(is_written("b"));
  EXPECT_TRUE(has(read_file(stopped.html), "interrupted after step 3 of 8"));
  EXPECT_EQ(stopped.checkpoint.filename(), training::checkpoint_name(3));
  all.run.resume = true;
  EXPECT_EQ(losses_of(mw::train(student(), all).steps), losses_in("a"));
  expect_same_training("a", "b");
}

struct Thrown {};

// In each of the places where a run tells something.
class Thrower : public TrainingObserver {
 public:
  explicit Thrower(std::string where) : where_(std::move(where)) {}
  void reading(const std::string&, int64_t, int64_t) override { at("reading"); }
  void note(const std::string&) override { at("note"); }
  void stepped(const TrainingProgress& progress) override {
    at(fmt::format("step {}", progress.record.step));
  }
  void evaluated(int64_t, int64_t) override { at("evaluated"); }
  bool should_stop() override {
    at("should_stop");
    return false;
  }
  int told_after = 0;

 private:
  void at(const std::string& place) {
    told_after += thrown_ ? 1 : 0;
    if (place != where_) return;
    thrown_ = true;
    throw Thrown();
  }
  std::string where_;
  bool thrown_ = false;
};

TEST_F(TrainDoor, what_an_observer_throws_arrives_and_the_run_can_go_on) {
  ASSERT_EQ(by_command("whole").code, 0);
  for (const char* where : {"reading", "note", "evaluated", "should_stop", "step 5", "step 8"}) {
    const std::string name = "at_" + std::to_string(std::hash<std::string>()(where) % 1000);
    Thrower thrower(where);
    TrainingSettings all = settings(name);
    EXPECT_THROW((void)mw::train(student(), all, thrower), Thrown) << where;
    EXPECT_EQ(thrower.told_after, 0) << where;
    EXPECT_FALSE(is_written(name)) << where;
    for (const auto& file : training::checkpoints_in(run_folder(name))) {
      EXPECT_NO_THROW((void)training::read_checkpoint(file.path)) << where;
    }
    if (std::string(where) == "step 5") {
      EXPECT_EQ(training::checkpoints_in(run_folder(name)).back().step, 5);
    }
    all.run.resume = true;
    (void)mw::train(student(), all);
    expect_same_training("whole", name);
  }
}

TEST_F(TrainDoor, refuses_in_the_terms_of_its_settings) {
  const auto refused = [&](const char* setting, const std::string& sentence, const auto& change) {
    TrainingSettings all = settings("b");
    change(all);
    try {
      (void)mw::train(student(), all);
      ADD_FAILURE() << "expected to be refused: " << sentence;
    } catch (const Error& e) {
      EXPECT_EQ(e.setting(), setting);
      EXPECT_TRUE(has(e.what(), sentence)) << e.what();
    }
    EXPECT_FALSE(is_written("b"));
  };
  refused("seq_len", "seq_len: expected a whole number from 1 to 1099511627776, got 0",
          [](auto& all) { all.run.seq_len = 0; });
  refused("steps", "steps: expected a whole number from 0 to 2147483646, got -1",
          [](auto& all) { all.run.steps = -1; });
  refused("seq_len", "student.mlpackage: seq_len 4096: the model takes at most",
          [](auto& all) { all.run.seq_len = 4096; });
  refused("data", "data: expected a file to train on, got none",
          [](auto& all) { all.run.data.clear(); });
  refused("output", "output: expected a package to write, got none",
          [](auto& all) { all.run.output.clear(); });
  refused("output", "expected a path that ends in .mlpackage",
          [&](auto& all) { all.run.output = scratch("b.txt"); });
  refused("output", "expected a path apart from data",
          [&](auto& all) { all.run.data = all.run.output / "train.txt"; });
  refused("patience", "patience: expected eval_data beside it", [](auto& all) {
    all.run.patience = 1;
    all.run.eval_data.clear();
  });
  refused("temperature", "temperature: expected a number more than 0",
          [](auto& all) { all.distill.temperature = 0; });
  refused("adapter_format", "adapter_format: expected lora_rank beside it",
          [](auto& all) { all.run.adapter_format = AdapterFormat::kPeft; });
}

TEST_F(TrainDoor, leaves_to_the_run_what_it_decides) {
  const testing::Answer answer = train("a", {"--lora-rank", "2", "--lora-alpha", "4", "--seed", "7",
                                             "--schedule", "linear", "--steps", "3"});
  ASSERT_EQ(answer.code, 0) << answer.out;
  TrainingSettings all;
  all.run = settings("b").run;
  all.run.eval_data.clear();
  all.run.seed = 7;
  all.run.steps = 3;
  all.student.schedule.kind = Schedule::Kind::kLinear;
  all.student.lora = Lora{.rank = 2, .alpha = 4};
  const TrainingReport report = mw::train(student(), all);
  EXPECT_EQ(losses_of(report.steps), losses_in("a"));
  EXPECT_EQ(report.adapter, scratch("b-adapter.safetensors"));
  EXPECT_EQ(read_file(report.adapter), read_file(scratch("a-adapter.safetensors")));
}

}  // namespace
}  // namespace mw
