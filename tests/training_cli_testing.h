// What the tests of `train` and its relatives share: running the command, small data, comparing
// what it wrote.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "base/testing.h"
#include "process_testing.h"
#include "train/checkpoint.h"

namespace mw::testing {

struct Answer {
  int code = -1;
  std::string out;  // stdout and stderr together
};

// A folder with a small text to train and to validate on, and the example's student.
class TrainingCli : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::getenv("MW_CLI") == nullptr) GTEST_SKIP() << "MW_CLI does not name the command";
    const char* root = std::getenv("MW_EXAMPLES");
    ASSERT_NE(root, nullptr);
    examples_ = fs::path(root) / "shakespeare";
    folder_ = fs::temp_directory_path() / ("mw_training_cli_" + std::to_string(getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    write("train.txt", read_file(examples_ / "train.txt").substr(0, 6000));
    write("valid.txt", read_file(examples_ / "valid.txt").substr(0, 1500));
  }
  void TearDown() override {
    if (!folder_.empty()) fs::remove_all(folder_);
  }

  [[nodiscard]] std::string scratch(const std::string& name) const { return folder_ / name; }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return scratch(name);
  }
  [[nodiscard]] std::string model(const std::string& name) const { return examples_ / name; }

  // `train STUDENT --output NAME.mlpackage` with settings that take a moment.
  [[nodiscard]] Words train_words(const std::string& name, const Words& more) const {
    Words words = {std::getenv("MW_CLI"), "train", model("student.mlpackage"), "--output",
                   scratch(name + ".mlpackage")};
    const std::pair<std::string, std::string> defaults[] = {{"--data", scratch("train.txt")},
                                                            {"--steps", "8"},
                                                            {"--batch-size", "2"},
                                                            {"--seq-len", "16"},
                                                            {"--threads", "1"},
                                                            {"--checkpoint-every", "2"}};
    for (const auto& [key, value] : defaults) {
      if (std::find(more.begin(), more.end(), key) == more.end()) {
        words.insert(words.end(), {key, value});
      }
    }
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  Answer run(const Words& words) const {
    Process process(words, folder_ / "log");
    const int code = process.wait();
    return {code, process.output()};
  }
  Answer train(const std::string& name, const Words& more = {}) const {
    return run(train_words(name, more));
  }
  Answer millwright(Words words) const {
    words.insert(words.begin(), std::getenv("MW_CLI"));
    return run(words);
  }

  [[nodiscard]] std::string weights(const fs::path& package) const {
    return read_file(package / "Data/com.apple.CoreML/weights/weight.bin");
  }
  [[nodiscard]] fs::path run_folder(const std::string& name) const {
    return folder_ / (name + ".run");
  }
  // Masters, moments and step of the last checkpoint.
  [[nodiscard]] TensorMap last_state(const std::string& name) const {
    const auto files = training::checkpoints_in(run_folder(name));
    return files.empty() ? TensorMap() : training::read_checkpoint(files.back().path).state;
  }
  void expect_same_training(const std::string& a, const std::string& b) const {
    const TensorMap first = last_state(a), second = last_state(b);
    ASSERT_FALSE(first.empty());
    ASSERT_EQ(first.size(), second.size());
    for (const auto& [key, tensor] : first) EXPECT_TRUE(bit_equal(tensor, second.at(key))) << key;
    EXPECT_TRUE(weights(scratch(a + ".mlpackage")) == weights(scratch(b + ".mlpackage")));
  }
  static void expect_refusal(const Answer& answer, const Words& parts) {
    EXPECT_EQ(answer.code, 1) << answer.out;
    for (const std::string& part : parts) {
      EXPECT_TRUE(has(answer.out, part)) << part << " is not in: " << answer.out;
    }
  }
  // Waits until a run has written `lines` of its log, has ended, or `longest` seconds have passed.
  static void wait_for_lines(const Process& process, const fs::path& log, int64_t lines,
                             double longest = kPatience) {
    process.wait_until([&] { return lines_of(log) >= lines; }, longest);
  }
  // Runs `words`, which writes a line of `log` a step, again and again, each time killed after a
  // random while, until it ends by itself. A run that gets further than its share of the steps is
  // killed there, however fast the machine has become.
  void survive_kills(const Words& words, const fs::path& log, int64_t steps, int kills,
                     double longest, uint64_t seed) const {
    uint64_t state = seed;
    int killed = 0;
    for (int i = 0; i < kills; ++i) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      const double share = static_cast<double>(state >> 40) / (1 << 24);
      Process process(words, folder_ / "log");
      wait_for_lines(process, log, steps * (i + 1) / (kills + 1), share * longest);
      process.send(SIGKILL);
      const int code = process.wait();
      killed += code == -SIGKILL ? 1 : 0;
      ASSERT_TRUE(code == -SIGKILL || code == 0) << code << ": " << process.output();
    }
    EXPECT_GT(killed, 0);
    const Answer last = run(words);
    EXPECT_EQ(last.code, 0) << last.out;
  }

  fs::path examples_, folder_;
};

}  // namespace mw::testing
