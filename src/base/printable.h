// Text from files and from the command line, as it may be shown on a terminal or in a log.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mw {

enum class Lines { kEscaped, kKept };

// `text` with what is no printable character written out: control characters (\n, \x1b), bytes that
// are no UTF-8 (\xff), separators of lines and marks that change the direction of writing
// (\u2028, \u202e). kKept leaves \n and \t as they are. The result of one call is left as it is by
// the next.
std::string printable(std::string_view text, Lines lines = Lines::kEscaped);
// JSON that means the same, with those of such characters that it may hold as they are as \u009b.
std::string printable_json(std::string_view json);

struct HiddenCharacter {
  uint32_t code;
  size_t length;  // in bytes
};
// The character that begins at `at` where it is one of those; nothing for bytes that are no UTF-8.
std::optional<HiddenCharacter> hidden_character(std::string_view text, size_t at);

}  // namespace mw
