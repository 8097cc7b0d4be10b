// Tests of broken input: fixtures cut at many lengths and edited at many places, as files and as
// bytes.
#include <random>

#include "package/fuzz_targets.h"
#include "package/package.h"
#include "package/testing.h"

namespace mw::package {
namespace {

using testing::fixture;
using testing::fixtures;
using testing::slurp;
using testing::spit;
using testing::TempFolder;
namespace fs = std::filesystem;

// One to four random edits: a byte set, a bit flipped, bytes removed or repeated.
std::string mutated(std::string bytes, std::mt19937& random) {
  for (uint32_t edits = 1 + random() % 4; edits > 0 && !bytes.empty(); --edits) {
    const size_t at = random() % bytes.size();
    const size_t count = std::min<size_t>(1 + random() % 16, bytes.size() - at);
    switch (random() % 5) {
      case 0:
        bytes[at] = static_cast<char>(random());
        break;
      case 1:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
        break;
      case 2:
        bytes.erase(at, count);
        break;
      case 3:
        bytes.insert(at, bytes.substr(at, count));
        break;
      default:
        bytes[at] = random() % 2 == 0 ? '\xff' : '\x7f';
    }
  }
  return bytes;
}

// Whether the model opens; anything but mw::Error, and an internal one, fails the test.
bool opens(const fs::path& path) {
  try {
    read(path);
    return true;
  } catch (const Error& e) {
    EXPECT_NE(e.code(), ErrorCode::kInternal) << e.what();
    EXPECT_EQ(std::string(e.what()).find(path.string()), 0U) << e.what();
    return false;
  }
}

// Feeds edited versions of each file of the model to read(); returns how many of them opened.
int attack(const fs::path& model, uint32_t seed) {
  constexpr int kRounds = 20;  // `make check-long` runs the fuzzers, which try millions
  std::mt19937 random(seed);
  int opened = 0;
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(model)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    const std::string original = slurp(file);
    for (int i = 0; i < kRounds; ++i) {
      spit(file, mutated(original, random));
      opened += opens(model) ? 1 : 0;
    }
    for (int i = 0; i < kRounds; ++i) {
      spit(file, original.substr(0, original.size() * static_cast<size_t>(i) / size_t{kRounds}));
      opened += opens(model) ? 1 : 0;
    }
    spit(file, original);
  }
  EXPECT_TRUE(opens(model));
  return opened;
}

TEST(Hostile, edited_and_truncated_packages_open_or_throw) {
  const TempFolder folder;
  for (const fs::path& path : fixtures()) {
    const fs::path copy = folder / path.filename().string();
    fs::copy(path, copy, fs::copy_options::recursive);
    EXPECT_GT(attack(copy, 1), 0) << path;
  }
}

TEST(Hostile, edited_and_truncated_compiled_models_open_or_throw) {
  const TempFolder folder;
  for (const char* name :
       {"linear", "palette", "two_functions", "stateful", "enumerated_shapes", "control_flow"}) {
    const fs::path path = folder / (std::string(name) + ".mlmodelc");
    write(read(fixture(std::string(name) + ".mlpackage")), path);
    EXPECT_GT(attack(path, 2), 0) << name;
  }
}

std::vector<std::string> seeds(const std::string& target) {
  std::vector<std::string> found;
  const fs::path corpus =
      fixture("").parent_path().parent_path().parent_path() / "fuzz/corpus" / target;
  for (const auto& entry : fs::directory_iterator(corpus)) found.push_back(slurp(entry.path()));
  EXPECT_FALSE(found.empty()) << corpus;
  return found;
}

TEST(Hostile, the_fuzzers_survive_their_seeds_and_edits_of_them) {
  const std::pair<const char*, void (*)(std::span<const std::byte>)> targets[] = {
      {"fuzz_package", fuzz_package}, {"fuzz_blob", fuzz_blob}, {"fuzz_metadata", fuzz_metadata}};
  for (const auto& [name, target] : targets) {
    std::mt19937 random(3);
    for (const std::string& seed : seeds(name)) {
      EXPECT_LT(seed.size(), 4096U) << name;
      target(std::as_bytes(std::span(seed)));
      for (int i = 0; i < 100; ++i) {
        const std::string bytes = mutated(seed, random);
        EXPECT_NO_THROW(target(std::as_bytes(std::span(bytes)))) << name << " " << i;
      }
    }
  }
}

}  // namespace
}  // namespace mw::package
