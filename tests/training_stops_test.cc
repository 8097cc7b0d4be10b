// Tests of `train` that is stopped, killed, out of disk or given a damaged checkpoint: how it goes
// on.
#include <sys/resource.h>

#include "training_cli_testing.h"

namespace mw::testing {
namespace {

TEST_F(TrainingCli, a_resumed_run_ends_as_one_that_was_never_stopped) {
  const Words settings = {"--schedule",   "cosine",
                          "--warmup",     "2",
                          "--accumulate", "2",
                          "--clip",       "1",
                          "--eval-data",  scratch("valid.txt"),
                          "--eval-every", "3"};
  ASSERT_EQ(train("whole", settings).code, 0);
  Words more = settings;
  more.push_back("--resume");  // from nothing
  ASSERT_EQ(train("parts", more).code, 0);
  // The last checkpoint goes, so that the run goes on from the one before it.
  fs::remove(training::checkpoints_in(run_folder("parts")).back().path);
  fs::remove_all(scratch("parts.mlpackage"));
  const Answer answer = train("parts", more);
  ASSERT_EQ(answer.code, 0) << answer.out;
  EXPECT_TRUE(has(answer.out, "going on after step 6")) << answer.out;
  expect_same_training("whole", "parts");
  EXPECT_EQ(lines_of(run_folder("parts") / "metrics.jsonl"),
            lines_of(run_folder("whole") / "metrics.jsonl"));
}

TEST_F(TrainingCli, a_damaged_checkpoint_is_refused_and_the_one_before_it_offered) {
  ASSERT_EQ(train("whole").code, 0);
  ASSERT_EQ(train("a").code, 0);
  const auto files = training::checkpoints_in(run_folder("a"));
  ASSERT_EQ(files.size(), 2U);
  std::string bytes = read_file(files[1].path);
  bytes[bytes.size() / 2] ^= 1;
  std::ofstream(files[1].path, std::ios::binary) << bytes;
  expect_refusal(train("a", {"--resume"}),
                 {"damaged checkpoint", "checksum", "--resume-from " + files[0].path.string()});
  const Answer answer = train("a", {"--resume-from", files[0].path});
  ASSERT_EQ(answer.code, 0) << answer.out;
  expect_same_training("whole", "a");
  EXPECT_EQ(train("a", {"--resume"}).code, 0) << "the damaged one is gone";
}

TEST_F(TrainingCli, checkpoints_of_an_earlier_run_are_not_lost_by_accident) {
  ASSERT_EQ(train("a").code, 0);
  expect_refusal(train("a"), {"--resume", "--overwrite"});
  EXPECT_EQ(train("a", {"--overwrite"}).code, 0);
  expect_refusal(train("a", {"--resume", "--steps", "10", "--seed", "3"}),
                 {"expected --seed 0 as in this checkpoint, got 3"});
  write("train.txt", read_file(examples_ / "train.txt").substr(100, 6000));
  expect_refusal(train("a", {"--resume", "--steps", "10"}), {"got other data"});
}

TEST_F(TrainingCli, killed_at_any_moment_it_goes_on_to_the_same_weights) {
  const int kills = std::getenv("MW_KILLS") != nullptr ? std::atoi(std::getenv("MW_KILLS")) : 4;
  const int steps = 6 * kills;
  const auto words = [&](const std::string& name) {
    return train_words(name,
                       {"--checkpoint-every", "1", "--steps", std::to_string(steps), "--resume"});
  };
  const auto started = std::chrono::steady_clock::now();
  ASSERT_EQ(run(words("whole")).code, 0);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
  // A killed run gets some steps further, and rarely to the end.
  survive_kills(words("killed"), run_folder("killed") / "metrics.jsonl", steps, kills,
                0.2 + 3 * seconds.count() / kills, 20240229);
  expect_same_training("whole", "killed");
  EXPECT_EQ(lines_of(run_folder("killed") / "metrics.jsonl"), steps);
}

TEST_F(TrainingCli, ctrl_c_saves_and_says_how_to_go_on) {
  // On a busy machine a run may be over before the interrupt is sent: then a longer one.
  int code = 0;
  std::string output, name;
  for (const std::string steps : {"60", "400", "3000"}) {
    name = "a" + steps;
    const Words settings = {"--checkpoint-every", "1000", "--steps", steps};
    Process process(train_words(name, settings), folder_ / "log");
    wait_for_lines(process, run_folder(name) / "metrics.jsonl", 3);
    process.send(SIGINT);
    code = process.wait();
    output = process.output();
    if (code != 0) {
      ASSERT_EQ(train("whole", settings).code, 0);
      break;
    }
  }
  ASSERT_EQ(code, 130) << output;
  EXPECT_FALSE(fs::exists(scratch(name + ".mlpackage")));
  EXPECT_TRUE(has(output, "to go on:")) << output;
  const size_t begin = output.find("to go on:\n") + 10;
  const std::string command = output.substr(begin, output.find('\n', begin) - begin);
  ASSERT_EQ(std::system((command + " > /dev/null 2>&1").c_str()), 0) << command;
  expect_same_training("whole", name);
}

TEST_F(TrainingCli, a_full_disk_leaves_the_checkpoint_before_it_whole) {
  ASSERT_EQ(train("a").code, 0);
  const auto before = training::checkpoints_in(run_folder("a"));
  Answer answer;
  {
    rlimit old = {};
    getrlimit(RLIMIT_FSIZE, &old);
    rlimit small = old;
    small.rlim_cur = 100 << 10;
    setrlimit(RLIMIT_FSIZE, &small);
    answer = train("a", {"--resume", "--steps", "12"});
    setrlimit(RLIMIT_FSIZE, &old);
  }
  expect_refusal(answer, {"cannot write", "File too large"});
  const auto after = training::checkpoints_in(run_folder("a"));
  ASSERT_EQ(after.size(), before.size());
  EXPECT_EQ(training::read_checkpoint(after.back().path).position.step, 8);
  for (const auto& entry : fs::directory_iterator(run_folder("a"))) {
    EXPECT_FALSE(has(entry.path().string(), ".tmp-")) << entry.path();
  }
  EXPECT_EQ(train("a", {"--resume", "--steps", "12"}).code, 0);
}

}  // namespace
}  // namespace mw::testing
