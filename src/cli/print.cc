// Writing to stdout and stderr.
#include "cli/print.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "base/error.h"
#include "base/printable.h"

namespace mw::cli {
namespace {

[[noreturn]] void refuse_stdout(int reason) {
  if (reason == EPIPE) {
    std::signal(SIGPIPE, SIG_DFL);
    std::raise(SIGPIPE);
  }
  fail(ErrorCode::kIo, "stdout: cannot write: {}", std::strerror(reason));
}

}  // namespace

void answer_bytes(std::string_view bytes) {
  errno = 0;
  if (std::fwrite(bytes.data(), 1, bytes.size(), stdout) != bytes.size()) refuse_stdout(errno);
}

void answer_text(std::string_view text) { answer_bytes(printable(text, Lines::kKept)); }

void answer_said(std::string_view text) {
  static const bool kTerminal = isatty(STDOUT_FILENO) != 0;
  if (kTerminal) {
    answer_text(text);
  } else {
    answer_bytes(text);
  }
  flush_answers();
}

void flush_answers() {
  errno = 0;
  if (std::fflush(stdout) != 0) refuse_stdout(errno);
  if (std::ferror(stdout) != 0) refuse_stdout(EIO);
}

void inform_bytes(std::string_view bytes) noexcept {
  while (!bytes.empty()) {
    const ssize_t wrote = ::write(STDERR_FILENO, bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return;
    bytes.remove_prefix(static_cast<size_t>(wrote));
  }
}

void inform_text(std::string_view text) noexcept {
  try {
    inform_bytes(printable(text, Lines::kKept));
  } catch (...) {
    inform_bytes("out of memory\n");
  }
}

void redraw(std::string_view line) noexcept {
  try {
    inform_bytes(fmt::format("\r{}\x1b[K", printable(line)));
  } catch (...) {
    inform_bytes("\r\x1b[K");
  }
}

void secure_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(descriptor, F_GETFD) != -1 || errno != EBADF) continue;
    // The lowest free number is this one. Opened for reading, stdout says what the closed one
    // would.
    (void)::open("/dev/null", descriptor == STDERR_FILENO ? O_WRONLY : O_RDONLY);
  }
}

}  // namespace mw::cli
