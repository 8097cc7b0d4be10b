// Every command gives the same bits, files and exit codes whatever fresh memory holds, and when
// buffers lie beside pages that cannot be touched: docs/testing.md says what the variables do.
//
// MW_EVERY=1 takes all packages of the larger suites, too.
#include <gtest/gtest.h>

#include <set>

#include "base/tensor_file.h"
#include "package/testing.h"
#include "random_model.h"
#include "suite.h"
#include "verbs.h"

namespace mw::testing {
namespace {

using Variables = std::map<std::string, std::string>;

const std::vector<Variables>& ways() {
  static const std::vector<Variables> kWays = {{{"MW_POISON", "1"}},
                                               {{"MW_POISON", "a5"}},
                                               {{"MW_GUARD", "1"}},
                                               {{"MW_GUARD", "exact"}},
                                               {{"MW_GUARD", "start"}}};
  return kWays;
}

struct Seen {
  Outcome outcome;
  std::map<std::string, std::string> files;  // content by path
};

// Of tensors their names and bytes. A checkpoint's text says how long the run took, and its
// checksum is of that, too.
std::string content_of_tensors(const fs::path& path) {
  std::string content;
  for (const auto& [name, tensor] : read_tensors(path)) {
    const std::string bytes(static_cast<const char*>(tensor.raw()),
                            static_cast<size_t>(tensor.nbytes()));
    if (name == "run.checksum") continue;
    const bool is_text = tensor.dtype() == DType::kU8;
    content += name + (is_text ? without_times(bytes) : to_string(tensor.shape()) + bytes);
  }
  return content;
}

std::string content_of(const fs::path& path) {
  static const std::set<std::string> kText = {".json", ".jsonl", ".txt"};
  const std::string extension = path.extension().string();
  if (extension == ".html") return "";  // of the numbers in metrics.jsonl
  if (extension == ".safetensors") return content_of_tensors(path);
  const std::string bytes = package::testing::slurp(path);
  return kText.contains(extension) ? without_times(bytes) : bytes;
}

Seen observe(const Verb& verb, const Variables& variables) {
  for (const fs::path& file : verb.files) fs::remove_all(file);
  Seen seen{run_command(verb.words, variables, 600), {}};
  seen.outcome.out = without_times(seen.outcome.out);
  seen.outcome.err = without_times(seen.outcome.err);
  for (const fs::path& file : verb.files) {
    if (fs::is_regular_file(file)) seen.files[file.string()] = content_of(file);
    if (!fs::is_directory(file)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(file)) {
      if (entry.is_regular_file()) seen.files[entry.path().string()] = content_of(entry.path());
    }
  }
  return seen;
}

// "" where the two are the same.
std::string difference(const Seen& a, const Seen& b) {
  if (a.outcome.code != b.outcome.code) {
    return fmt::format("exit code {} became {}: {}", a.outcome.code, b.outcome.code,
                       b.outcome.err.substr(0, 600));
  }
  if (a.outcome.out != b.outcome.out) {
    return fmt::format("it printed\n{}\nand then\n{}", a.outcome.out, b.outcome.out);
  }
  if (a.outcome.err != b.outcome.err) {
    return fmt::format("it said\n{}\nand then\n{}", a.outcome.err, b.outcome.err);
  }
  if (a.files.size() != b.files.size()) return "it wrote other files";
  for (const auto& [path, content] : a.files) {
    const auto found = b.files.find(path);
    if (found == b.files.end() || found->second != content) return "it wrote another " + path;
  }
  return "";
}

class MemoryChecks : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::getenv("MW_CLI") == nullptr) GTEST_SKIP() << "MW_CLI does not name the command";
    ASSERT_NE(std::getenv("MW_EXAMPLES"), nullptr);
    examples_ = fs::path(std::getenv("MW_EXAMPLES")) / "shakespeare";
  }

  void try_subject(const Subject& subject) {
    const fs::path folder = folder_ / fmt::format("subject-{}", subjects_++);
    for (const Verb& verb : verbs_of(subject, folder)) {
      const Seen plain = observe(verb, {});
      for (const Variables& variables : ways()) {
        const std::string found = difference(plain, observe(verb, variables));
        ++(found.empty() ? passed_ : failed_);
        if (found.empty()) continue;
        const auto& [name, value] = *variables.begin();
        ADD_FAILURE() << name << "=" << value << " "
                      << fmt::format("{}", fmt::join(verb.words, " ")) << "\n"
                      << found;
      }
    }
    fs::remove_all(folder);
  }

  // The first random model that has such a part.
  void try_random(const std::string& trait) {
    for (uint64_t seed = 1; seed < 1000; ++seed) {
      const fs::path folder = folder_ / fmt::format("random-{}", seed);
      const RandomModel model = write_random_model(seed, folder);
      if (!model.traits.contains(trait)) continue;
      return try_subject(
          {model.path, folder / "tokenizer.json", "q r s t u p q r s t", "q r s t u p", "q r"});
    }
    FAIL() << "no random model has a " << trait;
  }

  [[nodiscard]] Subject speaking(const fs::path& model, const fs::path& tokenizer) const {
    return {model, tokenizer, package::testing::slurp(examples_ / "valid.txt").substr(0, 1200),
            "To be, or not to be: that is the", "To be"};
  }

  // Packages at any depth below a folder, each with the tokenizer nearest to it.
  void try_all_below(const fs::path& root) {
    std::vector<fs::path> packages;
    for (auto at = fs::recursive_directory_iterator(root); at != fs::recursive_directory_iterator();
         ++at) {
      const std::string extension = at->path().extension().string();
      if (extension != ".mlpackage" && extension != ".mlmodelc" && extension != ".mlmodel")
        continue;
      packages.push_back(at->path());
      at.disable_recursion_pending();
    }
    std::sort(packages.begin(), packages.end());
    for (const fs::path& package : packages) {
      fs::path tokenizer = package.parent_path() / "tokenizer.json";
      if (!fs::exists(tokenizer)) tokenizer = suite::shared() / "models/shakespeare-tokenizer.json";
      try_subject(speaking(package, tokenizer));
    }
  }

  package::testing::TempFolder folder_;
  fs::path examples_;
  int64_t subjects_ = 0, passed_ = 0, failed_ = 0;
};

TEST_F(MemoryChecks, what_fresh_memory_holds_and_where_it_ends_changes_nothing) {
  try_subject(speaking(examples_ / "student.mlpackage", examples_ / "tokenizer.json"));
  for (const char* trait : {"softmax", "state", "list", "dictionary of texts"}) try_random(trait);
  if (std::getenv("MW_EVERY") != nullptr) {
    try_subject(speaking(examples_ / "model.mlpackage", examples_ / "tokenizer.json"));
    for (const fs::path& fixture : package::testing::fixtures()) {
      try_subject(speaking(fixture, examples_ / "tokenizer.json"));
    }
    if (!suite::shared().empty()) {
      try_all_below(suite::shared() / "cases");
      try_all_below(suite::shared() / "lm");
    }
  }
  suite::summarise("commands_with_other_memory", passed_, failed_);
}

}  // namespace
}  // namespace mw::testing
