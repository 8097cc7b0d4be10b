// Escapes of control characters and of invalid UTF-8.
#include "base/printable.h"

#include <fmt/format.h>

namespace mw {
namespace {

struct Character {
  uint32_t code = 0;
  size_t length = 0;  // in bytes; 0: these bytes are no UTF-8
};

uint8_t byte_at(std::string_view text, size_t at) { return static_cast<uint8_t>(text[at]); }

// Over-long forms, surrogates and codes above U+10FFFF are no UTF-8.
Character character_at(std::string_view text, size_t at) {
  const uint8_t first = byte_at(text, at);
  if (first < 0x80) return {first, 1};
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || at + length > text.size()) return {};
  uint32_t code = first & (0xffU >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte_at(text, at + i) & 0xc0U) != 0x80) return {};
    code = (code << 6) | (byte_at(text, at + i) & 0x3fU);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kLeast[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return {};
  return {code, length};
}

bool is_hidden(uint32_t code) {
  return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x200e || code == 0x200f ||
         (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

std::string escaped(uint32_t code) {
  switch (code) {
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return code < 0x100 ? fmt::format("\\x{:02x}", code) : fmt::format("\\u{:04x}", code);
  }
}

}  // namespace

std::optional<HiddenCharacter> hidden_character(std::string_view text, size_t at) {
  const Character character = character_at(text, at);
  if (character.length == 0 || !is_hidden(character.code)) return std::nullopt;
  return HiddenCharacter{character.code, character.length};
}

// Between strings there are none but line breaks.
std::string printable_json(std::string_view json) {
  std::string shown;
  shown.reserve(json.size());
  for (size_t at = 0; at < json.size();) {
    const auto hidden = json[at] == '\n' ? std::nullopt : hidden_character(json, at);
    if (hidden) {
      shown += fmt::format("\\u{:04x}", hidden->code);
    } else {
      shown += json[at];
    }
    at += hidden ? hidden->length : 1;
  }
  return shown;
}

std::string printable(std::string_view text, Lines lines) {
  std::string shown;
  shown.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Character character = character_at(text, at);
    const bool kept = lines == Lines::kKept && (text[at] == '\n' || text[at] == '\t');
    if (character.length == 0) {
      shown += fmt::format("\\x{:02x}", byte_at(text, at));
    } else if (kept || !is_hidden(character.code)) {
      shown += text.substr(at, character.length);
    } else {
      shown += escaped(character.code);
    }
    at += character.length == 0 ? 1 : character.length;
  }
  return shown;
}

}  // namespace mw
