// What the commands print: answers to stdout, which must arrive, and information to stderr, which
// need not.
#pragma once

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace mw::cli {

// To stdout. Text from files may hold anything: control characters but newlines and tabs are
// written out (base/printable.h). Throws io with a sentence when it cannot be written; a reader
// that has gone ends the process as it ends others, by SIGPIPE.
void answer_text(std::string_view text);
// The bytes as they are: JSON, programs, what a model says into a file.
void answer_bytes(std::string_view bytes);
// What a model says, at once: as it is, but for a terminal, which would take orders from it.
void answer_said(std::string_view text);
// Throws what answer_text() throws, for what the C library has kept back.
void flush_answers();

// To stderr, at once. What cannot be written is lost: a full disk under a log or a closed terminal
// stops no command.
void inform_text(std::string_view text) noexcept;
void inform_bytes(std::string_view bytes) noexcept;

// The last line of a terminal's stderr again, with this text; an empty one takes it away.
void redraw(std::string_view line) noexcept;

template <class... Args>
void answer(fmt::format_string<Args...> format, Args&&... args) {
  answer_text(fmt::format(format, std::forward<Args>(args)...));
}

template <class... Args>
void inform(fmt::format_string<Args...> format, Args&&... args) noexcept {
  try {
    inform_text(fmt::format(format, std::forward<Args>(args)...));
  } catch (...) {  // NOLINT(bugprone-empty-catch): no memory for a line that only informs
  }
}

// Opens /dev/null in place of those of the descriptors 0, 1 and 2 that are closed: a file opened
// later would get their number, and with it what is printed. Answers to a closed stdout fail.
void secure_descriptors();

}  // namespace mw::cli
