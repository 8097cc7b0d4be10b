// mw::Error: the one exception type of Millwright, with a code a program can act on.
//
//   try { auto model = mw::CoreMLModelWrapper::load(path); }
//   catch (const mw::Error& e) { std::cerr << e.what() << '\n'; return e.exit_code(); }
#pragma once

#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace mw {

enum class ErrorCode {
  kInvalidModel,     // the file breaks the format or the language
  kInvalidArgument,  // what the caller passed does not fit the model
  kUnsupported,      // valid, but outside what this build can do
  kIo,               // the operating system refused
  kOutOfMemory,      // an allocation failed or would exceed a limit
  kInternal,         // a broken invariant of ours
};

// Message form: `<where>: <what>: expected <x>, got <y>; <remedy>`, lower case, no full stop.
// `where` grows from the inside out as layers add context (input, op, function, file). Both are one
// line of printable text: control characters, which names in a file may hold, are written out.
// Settings go by the names that they have in settings.hpp and in docs/settings.md: `seq_len`.
class __attribute__((visibility("default"))) Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message, const std::string& where = "");

  [[nodiscard]] ErrorCode code() const { return code_; }
  [[nodiscard]] const std::string& message() const { return message_; }
  [[nodiscard]] const std::string& where() const { return where_; }

  // The setting that it is about, or whose change would help; empty: none is known.
  [[nodiscard]] const std::string& setting() const { return setting_; }
  // what(), with the settings that it names as the caller's users know them: a command line has
  // --seq-len for seq_len. `is_subject`: the sentence begins with it, as in "seq_len: expected ..".
  using Spelling = std::function<std::string(std::string_view name, bool is_subject)>;
  [[nodiscard]] std::string spelled(const Spelling& spelling) const;

  // 1: the user can mend it; 2: we must.
  [[nodiscard]] int exit_code() const { return code_ == ErrorCode::kInternal ? 2 : 1; }

  // The same error with `context` placed before what is known already, unless that begins with it.
  [[nodiscard]] Error within(std::string_view context) const;

 private:
  ErrorCode code_;
  std::string marked_message_, marked_where_;  // with marks around the names of settings
  std::string message_, where_, setting_;
};

}  // namespace mw
