// Deterministic mutations of real packages: an error or a result, never a crash, a hang or a huge
// allocation.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "base/error.h"
#include "ir/verify.h"
#include "millwright/millwright.hpp"
#include "suite.h"

namespace mw {
namespace {

namespace fs = std::filesystem;

constexpr rlim_t kSecondsAllowed = 10;  // of processor time, so that others may take theirs
constexpr int kPatience = 300;          // seconds, for what waits without working
constexpr rlim_t kBytesAllowed = rlim_t{1} << 30;

struct Random {
  uint64_t state;
  uint64_t next() {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
  }
  size_t below(size_t limit) { return limit == 0 ? 0 : next() % limit; }
};

std::string bytes_of_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Flips bits, overwrites, deletes, duplicates or truncates; weight files are hit in their records
// too.
void mutate(std::string& bytes, Random& random) {
  static const std::string kInteresting[] = {std::string(4, '\xFF'),
                                             std::string(8, '\0'),
                                             "\x7F\xFF\xFF\xFF",
                                             "-1",
                                             "99999999999",
                                             "]",
                                             "<",
                                             "\""};
  const size_t edits = 1 + random.below(4);
  for (size_t i = 0; i < edits && !bytes.empty(); ++i) {
    const size_t at = random.below(bytes.size());
    switch (random.below(6)) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
        break;
      case 1:
        bytes[at] = static_cast<char>(random.next());
        break;
      case 2:
        bytes.resize(at);
        break;
      case 3:
        bytes.erase(at, 1 + random.below(64));
        break;
      case 4:
        bytes.insert(at, bytes.substr(at, 1 + random.below(64)));
        break;
      default:
        bytes.replace(at, 1, kInteresting[random.below(std::size(kInteresting))]);
        break;
    }
  }
}

// Loads, verifies, prints the interface and runs on zeros where the shapes are small. Exit code 0
// for a result or an mw::Error with a message; anything else is a failure of ours.
int open_and_run(const fs::path& path) {
  try {
    const auto model = CoreMLModelWrapper::load(path);
    TensorMap inputs;
    for (const auto& feature : model.inputs()) {
      Shape shape = feature.shape;
      for (int64_t& extent : shape) extent = extent < 0 ? 1 : extent;
      if (count_of(shape) > 4'000'000) return 0;
      inputs[feature.name] = Tensor(feature.dtype, shape);
    }
    State state = model.make_state();
    (void)model.predict(inputs, state);
  } catch (const Error& e) {
    return e.code() == ErrorCode::kInternal || std::string(e.what()).empty() ? 3 : 0;
  }
  return 0;
}

std::string in_child(const fs::path& path) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
#if !defined(__SANITIZE_ADDRESS__)
    rlimit memory{
        3 * kBytesAllowed / 2,
        3 * kBytesAllowed / 2};  // the process itself, its libraries and threads count too
    setrlimit(RLIMIT_AS, &memory);
#endif
    const rlimit work{kSecondsAllowed, kSecondsAllowed + 1};
    setrlimit(RLIMIT_CPU, &work);
    alarm(kPatience);
    int code = 4;
    try {
      code = open_and_run(path);
    } catch (const std::bad_alloc&) {
      code = 5;
    } catch (...) {
      code = 6;
    }
    _exit(code);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFSIGNALED(status))
    return WTERMSIG(status) == SIGXCPU ? "worked longer than 10 s"
                                       : fmt::format("killed by signal {}", WTERMSIG(status));
  switch (WEXITSTATUS(status)) {
    case 0:
      return "";
    case 3:
      return "an internal error";
    case 5:
      return "an allocation beyond 1 GiB";
    default:
      return fmt::format("an exception that is not mw::Error (code {})", WEXITSTATUS(status));
  }
}

std::vector<fs::path> subjects() {
  std::vector<fs::path> found;
  std::vector<fs::path> folders = {fs::path(std::getenv("MW_TEST_DATA")) / "packages"};
  if (!suite::shared().empty())
    folders.insert(folders.end(), {suite::shared() / "real", suite::shared() / "real" / "probes"});
  for (const fs::path& folder : folders) {
    if (!fs::is_directory(folder)) continue;
    for (const fs::path& entry : suite::sorted_entries(folder)) {
      const std::string extension = entry.extension().string();
      if (extension == ".mlpackage" || extension == ".mlmodelc") found.push_back(entry);
    }
  }
  return found;
}

TEST(mutations, of_packages_give_errors_not_crashes) {
  const std::vector<fs::path> models = subjects();
  ASSERT_FALSE(models.empty());
  const int total = suite::shared().empty() ? 200 : 1000;
  const fs::path scratch = fs::temp_directory_path() / fmt::format("mw_mutations_{}", getpid());
  int64_t passed = 0, failed = 0;
  for (int i = 0; i < total; ++i) {
    Random random{0x9E3779B97F4A7C15ull * static_cast<uint64_t>(i + 1)};
    const fs::path& model = models[static_cast<size_t>(i) % models.size()];
    fs::remove_all(scratch);
    fs::create_directories(scratch);
    const fs::path copy = scratch / model.filename();
    fs::copy(model, copy, fs::copy_options::recursive);
    const auto files = files_in(copy);
    const fs::path& file = files[random.below(files.size())];
    fs::permissions(file, fs::perms::owner_write, fs::perm_options::add);
    std::string bytes = bytes_of_file(file);
    mutate(bytes, random);
    std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
    const std::string problem = in_child(copy);
    if (problem.empty()) {
      ++passed;
    } else {
      ++failed;
      ADD_FAILURE() << "mutation " << i << " of " << file << ": " << problem;
    }
  }
  fs::remove_all(scratch);
  suite::summarise("mutations", passed, failed);
}

}  // namespace
}  // namespace mw
