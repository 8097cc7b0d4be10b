// Waiting for lines on stdin.
#include "cli/line_reader.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "cli/command.h"

namespace mw::cli {
namespace {

constexpr size_t kLongest = size_t{1} << 20;
// A signal that comes between the look for it and the wait is seen after so many milliseconds.
constexpr int kPatience = 100;

}  // namespace

bool LineReader::is_terminal() { return isatty(STDIN_FILENO) != 0 && isatty(STDERR_FILENO) != 0; }

bool LineReader::read_more() {
  pollfd waited{STDIN_FILENO, POLLIN, 0};
  while (!is_interrupted()) {
    const int ready = poll(&waited, 1, kPatience);
    if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
    std::array<char, 4096> part{};
    const ssize_t count = ::read(STDIN_FILENO, part.data(), part.size());
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count < 0) fail(ErrorCode::kIo, "stdin: cannot read: {}", std::strerror(errno));
    read_.append(part.data(), static_cast<size_t>(count));
    return count > 0;
  }
  return false;
}

std::optional<std::string> LineReader::next() {
  size_t end = read_.find('\n');
  while (end == std::string::npos && !ended_) {
    if (read_.size() > kLongest) {
      fail(ErrorCode::kInvalidArgument,
           "stdin: expected lines of at most {} bytes, got a longer one", kLongest);
    }
    const size_t known = read_.size();
    ended_ = !read_more();
    end = read_.find('\n', known);
  }
  if (is_interrupted() || (end == std::string::npos && read_.empty())) return std::nullopt;
  std::string line = read_.substr(0, end);
  read_.erase(0, end == std::string::npos ? end : end + 1);
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

}  // namespace mw::cli
