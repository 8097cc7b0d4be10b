// For tests that start a process and look at what it does meanwhile. Waiting counts what the
// process has done; the seconds in it are patience alone, so that a busy machine makes no
// difference.
#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace mw::testing {

namespace fs = std::filesystem;

inline std::string read_file(const fs::path& path) {
  std::ostringstream bytes;
  bytes << std::ifstream(path, std::ios::binary).rdbuf();
  return std::move(bytes).str();
}

inline int64_t lines_of(const fs::path& path) {
  const std::string text = read_file(path);
  return std::count(text.begin(), text.end(), '\n');
}

using Words = std::vector<std::string>;

constexpr double kPatience = 300;  // seconds; ctest has more

// A running command; its output goes to a file.
class Process {
 public:
  Process(const Words& words, const fs::path& log) : log_(log) {
    pid_ = fork();
    if (pid_ != 0) return;
    const int fd = open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    std::vector<char*> argv;
    for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    execv(argv[0], argv.data());
    _exit(127);
  }
  ~Process() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      (void)wait();
    }
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Seconds of processor time that it has taken; what it took last once it has ended.
  [[nodiscard]] double processor_seconds() const {
    std::string stat = read_file("/proc/" + std::to_string(pid_) + "/stat");
    stat.erase(0, stat.rfind(')') + 1);  // the name before it may hold anything
    std::istringstream fields(stat);
    std::string skipped;
    for (int i = 3; i < 14; ++i) fields >> skipped;
    int64_t user = 0, system = 0;
    fields >> user >> system;
    return static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
  }
  // Looks again every few milliseconds until there is what it waits for: false where the process
  // ended before that, or `longest` seconds passed.
  template <class Condition>
  bool wait_until(Condition&& is_so, double longest = kPatience) const {
    const auto start = std::chrono::steady_clock::now();
    const std::chrono::duration<double> limit(longest);
    while (!is_so()) {
      if (has_ended() || std::chrono::steady_clock::now() - start > limit) return is_so();
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
  }
  void send(int signal) const { kill(pid_, signal); }
  [[nodiscard]] pid_t id() const { return pid_; }
  // Exit code, or minus the signal that ended it.
  int wait() {
    int status = 0;
    while (waitpid(std::exchange(pid_, -1), &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  [[nodiscard]] std::string output() const { return read_file(log_); }

 private:
  [[nodiscard]] bool has_ended() const {
    siginfo_t end{};
    return waitid(P_PID, static_cast<id_t>(pid_), &end, WEXITED | WNOHANG | WNOWAIT) != 0 ||
           end.si_pid != 0;
  }

  fs::path log_;
  pid_t pid_ = -1;
};

}  // namespace mw::testing
