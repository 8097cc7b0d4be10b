// Random small models, each given to every command: right, or one sentence and exit code 1.
//
// MW_MODELS says how many (40), MW_SEED from which seed on (1).
#include <gtest/gtest.h>
#include <unistd.h>

#include <regex>

#include "base/tensor_file.h"
#include "package/testing.h"
#include "random_model.h"
#include "suite.h"
#include "verbs.h"

namespace mw::testing {
namespace {

uint64_t number_from(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// The last line, and no other, begins with the command's name; those before it are notes.
bool is_sentence(const std::string& text) {
  static const std::regex kStart("(^|\n)millwright");
  const std::ptrdiff_t lines =
      std::distance(std::sregex_iterator(text.begin(), text.end(), kStart), std::sregex_iterator());
  const size_t last = text.size() < 2 ? std::string::npos : text.rfind('\n', text.size() - 2);
  const std::string sentence = last == std::string::npos ? text : text.substr(last + 1);
  return lines == 1 && sentence.starts_with("millwright") && text.ends_with('\n');
}

bool tells_nan(const std::string& text) {
  static const std::regex kNan(R"re(\b-?nan\b|"(loss|mean_loss|perplexity|error)": null)re");
  return std::regex_search(text, kNan);
}

// "" when an outcome is what it may be.
std::string fault_of(const Verb& verb, const Outcome& outcome) {
  if (outcome.code < 0) return fmt::format("ended by signal {}", -outcome.code);
  if (outcome.code > 1) return fmt::format("exit code {}", outcome.code);
  if (outcome.code == 1) return is_sentence(outcome.err) ? "" : "not one sentence";
  const bool shows_values = verb.name.starts_with("run");
  if (!shows_values && tells_nan(outcome.out + outcome.err)) return "tells nan";
  if (shows_values && tells_nan(outcome.out) && outcome.err.find("NaN") == std::string::npos) {
    return "does not say that its result is NaN";
  }
  for (const fs::path& file : verb.files) {
    if (!fs::exists(file)) return fmt::format("{} was not written", file.filename().string());
  }
  return "";
}

bool near(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || a.shape() != b.shape()) return false;
  for (int64_t i = 0; i < a.count(); ++i) {
    const double x = a.number_at(i), y = b.number_at(i);
    if (std::isnan(x) != std::isnan(y)) return false;
    if (std::abs(x - y) > 2e-3 * std::max(1.0, std::abs(y))) return false;
  }
  return true;
}

class RandomModels : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::getenv("MW_CLI") == nullptr) GTEST_SKIP() << "MW_CLI does not name the command";
  }

  void try_model(uint64_t seed) {
    const fs::path folder = scratch_ / fmt::format("{}", seed);
    const std::string program = random_program(seed);
    const Subject subject{write_random_model(seed, folder), folder / "tokenizer.json", words(),
                          "q r s"};
    for (const Verb& verb : verbs_of(subject, folder)) {
      const Outcome outcome = run_command(verb.words, {}, 300);
      const std::string fault = fault_of(verb, outcome);
      ++(fault.empty() ? passed_ : failed_);
      done_[verb.name] += outcome.code == 0 ? 1 : 0;
      if (fault.empty()) continue;
      ADD_FAILURE() << "seed " << seed << ", " << verb.name << ": " << fault << "\n"
                    << fmt::format("{}", fmt::join(verb.words, " ")) << "\n"
                    << outcome.out.substr(0, 600) << outcome.err.substr(0, 600) << program;
    }
    expect_same_results(seed, folder);
    if (std::getenv("MW_KEEP") == nullptr) fs::remove_all(folder);
  }

  // Planned and op by op.
  void expect_same_results(uint64_t seed, const fs::path& folder) {
    const fs::path planned = folder / "run.safetensors", naive = folder / "run--naive.safetensors";
    EXPECT_EQ(fs::exists(planned), fs::exists(naive)) << seed;
    if (!fs::exists(planned) || !fs::exists(naive)) return;
    const TensorMap a = read_tensors(planned), b = read_tensors(naive);
    ASSERT_EQ(a.size(), b.size()) << seed;
    for (const auto& [name, tensor] : a) {
      EXPECT_TRUE(near(tensor, b.at(name))) << "seed " << seed << ": " << name;
    }
  }

  static std::string words() {
    std::string text;
    for (int i = 0; i < 60; ++i) {
      text += fmt::format("{} ", static_cast<char>('p' + i * i % kTokens));
    }
    return text;
  }

  package::testing::TempFolder folder_;
  fs::path scratch_ = folder_.path();
  std::map<std::string, uint64_t> done_;
  int64_t passed_ = 0, failed_ = 0;
};

TEST_F(RandomModels, each_command_is_right_or_says_why_not_in_one_sentence) {
  const uint64_t count = number_from("MW_MODELS", 40), first = number_from("MW_SEED", 1);
  for (uint64_t seed = first; seed < first + count; ++seed) try_model(seed);
  suite::summarise("commands_on_random_models", passed_, failed_);
  fmt::print("models that a command did not refuse, of {}:\n", count);
  for (const auto& [verb, models] : done_) {
    fmt::print("  {:<16} {}\n", verb, models);
    const bool may_refuse_all = verb.ends_with(" output");  // the loss itself, without labels
    if (count >= 40 && !may_refuse_all) {
      EXPECT_GT(models, 0) << verb << " refuses them all";
    }
  }
}

}  // namespace
}  // namespace mw::testing
