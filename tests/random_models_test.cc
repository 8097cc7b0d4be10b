// Random small models, each given to every command: right, or one sentence and exit code 1.
//
// Right is what tests/reference.h says: results, losses, gradients, scores, continuations.
// MW_MODELS says how many (40), MW_SEED from which seed on (1).
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>

#include "package/testing.h"
#include "random_model.h"
#include "random_models_checks.h"
#include "suite.h"
#include "verbs.h"

namespace mw::testing {
namespace {

uint64_t number_from(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// What models are to be there for in a run of some.
constexpr std::array kTraits = {
    "rank 0",         "rank 1",      "rank 2",        "rank 3",
    "rank 4",         "rank 5",      "text",          "dictionary of texts",
    "softmax",        "log-softmax", "sigmoid",       "dictionary of int64",
    "linear",         "state",       "fixed shapes",  "ranges",
    "log-sigmoid",    "list",        "listed shapes", "class axis not last",
    "several outputs"};

struct Count {
  int64_t accepted = 0, compared = 0;
};

class RandomModels : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::getenv("MW_CLI") == nullptr) GTEST_SKIP() << "MW_CLI does not name the command";
  }

  void try_model(uint64_t seed) {
    const fs::path folder = scratch_ / fmt::format("{}", seed);
    const RandomModel model = write_random_model(seed, folder);
    const Subject subject{model.path, folder / "tokenizer.json", text_of(text()), "q r s t u p q r",
                          "q r s"};
    for (const std::string& trait : model.traits) ++traits_[trait];
    Checks checks(model, seed, folder);
    for (const Verb& verb : verbs_of(subject, folder)) {
      const Outcome outcome = run_command(verb.words, {}, 300);
      const Verdict verdict = checks.judge(verb, outcome);
      ++(verdict.fault.empty() ? passed_ : failed_);
      counts_[verb.name].accepted += outcome.code == 0 ? 1 : 0;
      counts_[verb.name].compared += verdict.compared ? 1 : 0;
      if (verdict.fault.empty()) continue;
      ADD_FAILURE() << "seed " << seed << ", " << verb.name << ": " << verdict.fault << "\n"
                    << fmt::format("{}", fmt::join(verb.words, " ")) << "\n"
                    << outcome.out.substr(0, 600) << outcome.err.substr(0, 600) << model.program;
    }
    if (std::getenv("MW_KEEP") == nullptr) fs::remove_all(folder);
  }

  void tell(uint64_t models) const {
    suite::summarise("commands_on_random_models", passed_, failed_);
    fmt::print("of {} models   not refused  compared\n", models);
    for (const auto& [verb, count] : counts_) {
      fmt::print("  {:<16} {:>8} {:>9}\n", verb, count.accepted, count.compared);
    }
    for (const auto& [trait, count] : traits_) fmt::print("  {:<24} {:>4}\n", trait, count);
  }

  package::testing::TempFolder folder_;
  fs::path scratch_ = folder_.path();
  std::map<std::string, Count> counts_;
  std::map<std::string, int64_t> traits_;
  int64_t passed_ = 0, failed_ = 0;
};

TEST_F(RandomModels, each_command_is_right_or_says_why_not_in_one_sentence) {
  const uint64_t models = number_from("MW_MODELS", 40), first = number_from("MW_SEED", 1);
  for (uint64_t seed = first; seed < first + models; ++seed) try_model(seed);
  tell(models);
  if (models < 40) return;
  // A check that most models pass by sentences, or that nothing is compared in, shows nothing.
  const auto quarter = static_cast<int64_t>(models / 4);
  for (const auto& [verb, count] : counts_) {
    EXPECT_GE(count.accepted, quarter) << verb << " refuses too many";
    if (verb == "inspect" || verb == "run shown" || verb == "diff") continue;
    EXPECT_GE(count.compared, quarter * 4 / 5) << verb << " is compared with nothing";
  }
  for (const char* trait : kTraits) EXPECT_GT(traits_[trait], 0) << trait;
}

}  // namespace
}  // namespace mw::testing
