// Tests of atomic writing: many writers of one target, leftovers of the dead, locks.
#include "base/atomic_write.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/testing.h"

namespace mw {
namespace {

namespace fs = std::filesystem;
using testing::has;

class AtomicWrite : public ::testing::Test {
 protected:
  static std::string slurp(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static void spit(const fs::path& path, const std::string& content) {
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
  }
  [[nodiscard]] std::set<std::string> names() const {
    std::set<std::string> found;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      found.insert(entry.path().filename().string());
    }
    return found;
  }
  static std::string error_of(const std::function<void()>& body) {
    try {
      body();
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kIo) << e.what();
      return e.what();
    }
    return "";
  }
  // Runs `body` in a process of its own, which is then killed.
  static void in_process_that_is_killed(const std::function<void()>& body) {
    const pid_t child = fork();
    if (child == 0) {
      body();
      kill(getpid(), SIGKILL);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << status;
  }

  const testing::TempFolder temporary_;
  const fs::path folder_ = temporary_.path();
};

int number_from(const char* variable, int usual) {
  const char* text = std::getenv(variable);
  return text == nullptr ? usual : std::atoi(text);
}

// What writer `k` writes: its length follows from its letter, so that a part of it is recognised.
std::string content_of(int k) {
  return std::string(static_cast<size_t>(1 + (k % 20) * 7001), static_cast<char>('a' + k % 20));
}

bool is_whole(const std::string& content) {
  return !content.empty() && content == content_of(content[0] - 'a');
}

// Many threads of several processes call `write(k)` until `reads` reads were whole.
void race(const std::function<void(int)>& write, const std::function<std::string()>& read) {
  const int processes = number_from("MW_WRITER_PROCESSES", 3);
  const int threads = number_from("MW_WRITER_THREADS", 4);
  const int reads = number_from("MW_READS", 500);
  write(0);
  std::vector<pid_t> children;
  for (int p = 0; p < processes; ++p) {
    const pid_t child = fork();
    if (child != 0) {
      children.push_back(child);
      continue;
    }
    std::vector<std::thread> writers;
    for (int t = 0; t < threads; ++t) {
      writers.emplace_back([&, t] {
        for (int i = 0;; ++i) {
          try {
            write(p * threads + t + i);
          } catch (const std::exception& e) {
            std::fprintf(stderr, "%s\n", e.what());
            _exit(3);
          }
        }
      });
    }
    for (std::thread& writer : writers) writer.join();
    _exit(4);
  }
  std::set<char> seen;
  const auto all_live = [&] {
    return std::all_of(children.begin(), children.end(), [](pid_t child) {
      siginfo_t end{};
      waitid(P_PID, static_cast<id_t>(child), &end, WEXITED | WNOHANG | WNOWAIT);
      return end.si_pid == 0;
    });
  };
  // The machine may be busy, so that the writers begin late.
  for (int i = 0; i < reads || (seen.size() < 5 && all_live()); ++i) {
    const std::string content = read();
    if (!is_whole(content)) {
      ADD_FAILURE() << "read " << i << " gave " << content.size() << " bytes of "
                    << (content.empty() ? '-' : content[0]);
      break;
    }
    seen.insert(content[0]);
  }
  for (const pid_t child : children) {
    kill(child, SIGKILL);
    siginfo_t end{};
    ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &end, WEXITED), 0);
    EXPECT_EQ(end.si_code, CLD_KILLED) << "a writer failed with code " << end.si_status;
  }
  EXPECT_GT(seen.size(), 1U) << "the writers were not at work";
  write(1);
  EXPECT_EQ(read(), content_of(1));
}

TEST_F(AtomicWrite, readers_of_a_file_that_many_write_see_what_one_of_them_wrote) {
  const fs::path path = folder_ / "same.bin";
  race([&](int k) { write_file_atomically(path, content_of(k)); }, [&] { return slurp(path); });
  EXPECT_EQ(names(), (std::set<std::string>{"same.bin"})) << "the killed writers' files are gone";
}

TEST_F(AtomicWrite, readers_of_a_folder_that_many_write_see_what_one_of_them_wrote) {
  const fs::path path = folder_ / "same";
  const auto write = [&](int k) {
    AtomicFolder target(path);
    OutputFile file(target.temporary() / "data");
    file.write(content_of(k));
    file.close();
    target.publish([](const fs::path&) {});
  };
  // A reader that stands in a folder while it is replaced finds it empty, and looks again.
  const auto read = [&] {
    for (;;) {
      if (std::ifstream in(path / "data", std::ios::binary); in) {
        return std::string(std::istreambuf_iterator<char>(in), {});
      }
      EXPECT_TRUE(fs::is_directory(path));
    }
  };
  race(write, read);
  EXPECT_EQ(names(), (std::set<std::string>{"same"})) << "the killed writers' folders are gone";
}

TEST_F(AtomicWrite, what_a_killed_process_left_is_swept_and_what_a_living_one_writes_is_not) {
  const fs::path path = folder_ / "weights.bin";
  in_process_that_is_killed([&] {
    static AtomicFile file(path);
    file.write("half of it");
  });
  EXPECT_EQ(names().size(), 1U);
  AtomicFile living(path);
  living.write("first");
  EXPECT_EQ(names().size(), 1U) << "the dead one's is gone, the living one's is there";
  write_file_atomically(path, "second");
  EXPECT_EQ(slurp(path), "second");
  living.publish();
  EXPECT_EQ(slurp(path), "first");
  EXPECT_EQ(names(), (std::set<std::string>{"weights.bin"}));
}

TEST_F(AtomicWrite, a_folder_is_swept_of_all_leftovers_and_of_nothing_else) {
  in_process_that_is_killed([&] {
    static AtomicFile file(folder_ / "a.bin");
    static AtomicFolder folder(folder_ / "b.mlpackage");
    spit(folder.temporary() / "deep/er", "x");
  });
  const std::set<std::string> others = {".a.bin.writing-1-2",
                                        ".a.bin.writing-1-2-notes",
                                        ".writing-1-2-0123456789abcdef",
                                        "a.bin.writing-1-2-0123456789abcdef",
                                        ".a.bin.writing-1-2-0123456789ABCDEF",
                                        ".a.bin.tmp-1"};
  for (const std::string& name : others) spit(folder_ / name, "precious");
  EXPECT_EQ(names().size(), others.size() + 2);
  sweep_leftovers(folder_);
  EXPECT_EQ(names(), others);
}

TEST_F(AtomicWrite, a_folder_that_was_moved_aside_by_a_process_that_died_comes_back) {
  spit(folder_ / ".m.old-1-0-0123456789abcdef/data", "old");
  AtomicFolder target(folder_ / "m");
  EXPECT_EQ(slurp(folder_ / "m/data"), "old");
  spit(target.temporary() / "data", "new");
  target.publish([](const fs::path&) {});
  EXPECT_EQ(slurp(folder_ / "m/data"), "new");
  EXPECT_EQ(names(), (std::set<std::string>{"m"}));
}

TEST_F(AtomicWrite, a_target_may_have_the_longest_name_there_is) {
  const std::string name(255, 'n'), other = std::string(254, 'n') + "m";
  write_file_atomically(folder_ / name, "x");
  write_file_atomically(folder_ / other, "y");
  EXPECT_EQ(slurp(folder_ / name) + slurp(folder_ / other), "xy");
  EXPECT_TRUE(has(error_of([&] { write_file_atomically(folder_ / (name + "n"), "x"); }),
                  "cannot write: File name too long"));
  EXPECT_EQ(names(), (std::set<std::string>{name, other}));
}

TEST_F(AtomicWrite, a_link_at_a_file_is_replaced_and_what_it_leads_to_is_not) {
  spit(folder_ / "theirs", "precious");
  fs::create_symlink("theirs", folder_ / "link");
  write_file_atomically(folder_ / "link", "ours");
  EXPECT_FALSE(fs::is_symlink(folder_ / "link"));
  EXPECT_EQ(slurp(folder_ / "theirs"), "precious");
  EXPECT_EQ(slurp(folder_ / "link"), "ours");
}

TEST_F(AtomicWrite, a_link_at_a_folder_stays_and_what_it_leads_to_is_replaced) {
  spit(folder_ / "real/data", "old");
  fs::create_symlink("real", folder_ / "link");
  AtomicFolder target(folder_ / "link/");
  spit(target.temporary() / "data", "new");
  target.publish([](const fs::path&) {});
  EXPECT_TRUE(fs::is_symlink(folder_ / "link"));
  EXPECT_EQ(slurp(folder_ / "real/data"), "new");
}

TEST_F(AtomicWrite, what_cannot_be_replaced_is_named_and_stays) {
  fs::create_directories(folder_ / "folder");
  ASSERT_EQ(mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  fs::create_symlink("loop", folder_ / "loop");
  const std::pair<fs::path, std::string> cases[] = {
      {folder_ / "folder", "cannot write: Is a directory"},
      {folder_ / "pipe", "expected a regular file to replace"},
      {folder_ / "nowhere/file", "cannot write: No such file or directory"},
      {folder_ / "pipe/file", "cannot write: Not a directory"}};
  const std::set<std::string> before = names();
  for (const auto& [path, sentence] : cases) {
    const std::string error = error_of([&, &at = path] { write_file_atomically(at, "x"); });
    EXPECT_TRUE(has(error, sentence)) << error;
    EXPECT_TRUE(has(error, path.string())) << error;
  }
  const std::string error = error_of([&] { AtomicFolder target(folder_ / "loop"); });
  EXPECT_TRUE(has(error, "cannot follow the link")) << error;
  EXPECT_EQ(names(), before);
}

TEST_F(AtomicWrite, errors_name_no_temporary_folder) {
  AtomicFolder target(folder_ / "m.mlpackage", "");
  EXPECT_EQ(error_of([&] { OutputFile file(target.temporary() / "Data/weights/w.bin"); }),
            "Data/weights/w.bin: cannot create: No such file or directory");
  fs::create_directories(folder_ / "m.mlmodel");
  EXPECT_EQ(error_of([&] { AtomicFile file(folder_ / "m.mlmodel", ""); }),
            "cannot write: Is a directory");
}

TEST_F(AtomicWrite, a_refusal_to_replace_leaves_the_old_folder_and_nothing_new) {
  spit(folder_ / "m/data", "old");
  {
    AtomicFolder target(folder_ / "m");
    spit(target.temporary() / "data", "new");
    EXPECT_EQ(error_of([&] {
                target.publish([](const fs::path&) { fail(ErrorCode::kIo, "not this one"); });
              }),
              "not this one");
  }
  EXPECT_EQ(slurp(folder_ / "m/data"), "old");
  EXPECT_EQ(names(), (std::set<std::string>{"m"}));
}

TEST_F(AtomicWrite, a_working_folder_is_for_one_process_until_that_ends) {
  in_process_that_is_killed([&] {
    static const FileLock lock = FileLock::of_working_folder(folder_);
    const std::string error = error_of([&] { (void)FileLock::of_working_folder(folder_); });
    if (!has(error, folder_.string() + ": another process works in this folder")) _exit(1);
  });
  EXPECT_TRUE(FileLock::of_working_folder(folder_).is_locked()) << "the dead one's lock is gone";
}

}  // namespace
}  // namespace mw
