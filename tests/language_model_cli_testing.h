// What the tests of commands on language models share.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <string>

#include "small_language_models.h"
#include "training_cli_testing.h"

namespace mw::testing {

using suite::Form;
using suite::SmallModel;

constexpr int64_t kVocabulary = 300;  // of tests/data/tokenizer/byte_level.json

class LanguageModelCli : public TrainingCli {
 protected:
  std::string model_of(SmallModel m, const std::string& name = "model") const {
    m.vocabulary = kVocabulary;
    const std::string file = scratch(name + ".mlpackage");
    suite::write_small_model(file, m);
    const fs::path tokenizer = fs::path(std::getenv("MW_TEST_DATA")) / "tokenizer/byte_level.json";
    std::filesystem::copy_file(tokenizer, fs::path(file) / "tokenizer.json",
                               std::filesystem::copy_options::overwrite_existing);
    return file;
  }
  Answer generate(const std::string& file, const Words& more = {}) const {
    Words words = {"generate", file, "--prompt", "The quick", "--max-tokens", "8", "--ignore-end"};
    words.insert(words.end(), more.begin(), more.end());
    return millwright(words);
  }
  Answer eval(const std::string& file, const Words& more = {}) const {
    Words words = {"eval", file, "--data", scratch("valid.txt"), "--json"};
    words.insert(words.end(), more.begin(), more.end());
    return millwright(words);
  }
  Answer train_on(const std::string& file, const std::string& name, Words more = {}) const {
    if (std::find(more.begin(), more.end(), "--batch-size") == more.end()) {
      more.insert(more.end(), {"--batch-size", "2"});
    }
    Words words = {"train",      file,
                   "--data",     scratch("train.txt"),
                   "--output",   scratch(name + ".mlpackage"),
                   "--steps",    "3",
                   "--threads",  "1",
                   "--overwrite"};
    words.insert(words.end(), more.begin(), more.end());
    return millwright(words);
  }
  // One line, exit code 1.
  static void expect_sentence(const Answer& answer, const std::string& part) {
    EXPECT_EQ(answer.code, 1) << answer.out;
    EXPECT_EQ(std::count(answer.out.begin(), answer.out.end(), '\n'), 1) << answer.out;
    EXPECT_TRUE(has(answer.out, part)) << part << " is not in: " << answer.out;
  }
  // What was generated, without the times.
  static std::string text_of(const Answer& answer) {
    EXPECT_EQ(answer.code, 0) << answer.out;
    return answer.out.substr(0, answer.out.rfind("\nprompt "));
  }
  static double loss_of(const Answer& answer) {
    EXPECT_EQ(answer.code, 0) << answer.out;
    return nlohmann::json::parse(answer.out)["mean_loss"];
  }
};

// Memory that the C library gives out is filled with this byte's complement.
struct Perturbed {
  explicit Perturbed(const char* byte) { setenv("MALLOC_PERTURB_", byte, 1); }
  ~Perturbed() { unsetenv("MALLOC_PERTURB_"); }
};

}  // namespace mw::testing
