// Scanner: tokens, string escapes, positions and the wording of syntax errors.
#include "ir/text/scanner.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <iterator>
#include <utility>

#include "base/error.h"
#include "base/printable.h"

namespace mw::ir::text {
namespace {

constexpr size_t kMaxQuoted = 32;  // bytes of the source that an error message quotes

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

// Bytes of the UTF-8 sequence at text[at], 0 when malformed (RFC 3629: no overlong forms, no
// surrogates).
size_t utf8_length(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) {
    return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0};
  };
  const uint8_t lead = byte(at), second = byte(at + 1);
  if (lead < 0x80) return 1;
  size_t length = 0;
  uint8_t low = 0x80, high = 0xBF;  // range of the second byte
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return 0;
  }
  if (second < low || second > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return 0;
  }
  return length;
}

void append_utf8(std::string& out, uint32_t code) {
  const auto tail = [&](int shift) { out += static_cast<char>(0x80 | ((code >> shift) & 0x3F)); };
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
    tail(0);
  } else {
    out += static_cast<char>(0xE0 | (code >> 12));
    tail(6);
    tail(0);
  }
}

}  // namespace

Scanner::Scanner(std::string_view source, std::string file)
    : source_(source), file_(std::move(file)) {
  check_encoding();
  if (source_.starts_with("\xEF\xBB\xBF")) at_ = 3;
  skip();
}

void Scanner::check_encoding() const {
  for (size_t i = 0; i < source_.size();) {
    const auto byte = static_cast<uint8_t>(source_[i]);
    if (byte != 0 && byte < 0x80) {
      ++i;
      continue;
    }
    const size_t length = byte == 0 ? 0 : utf8_length(source_, i);
    if (length == 0) fail_at(i, fmt::format("expected UTF-8 text, got the byte 0x{:02x}", byte));
    i += length;
  }
}

void Scanner::skip() {
  while (!at_end()) {
    if (is_space(source_[at_])) {
      ++at_;
    } else if (source_.substr(at_, 2) == "//") {
      at_ = std::min(source_.find('\n', at_), source_.size());
    } else if (source_.substr(at_, 2) == "/*") {
      const size_t end = source_.find("*/", at_ + 2);
      if (end == std::string_view::npos) {
        fail("expected '*/' at the end of this comment, got the end of the file");
      }
      at_ = end + 2;
    } else {
      return;
    }
  }
}

bool Scanner::accept(char symbol) {
  if (peek() != symbol || at_end()) return false;
  ++at_;
  skip();
  return true;
}

bool Scanner::accept(std::string_view symbol) {
  if (!source_.substr(at_).starts_with(symbol)) return false;
  at_ += symbol.size();
  skip();
  return true;
}

void Scanner::expect(char symbol, std::string_view where, std::string_view subject) {
  if (!accept(symbol)) expect(std::string_view(&symbol, 1), where, subject);
}

void Scanner::expect(std::string_view symbol, std::string_view where, std::string_view subject) {
  if (accept(symbol)) return;
  fail_expected(subject.empty() ? fmt::format("'{}' {}", symbol, where)
                                : fmt::format("'{}' {} '{}'", symbol, where, subject));
}

std::string_view Scanner::peek_word() const {
  size_t end = at_;
  while (end < source_.size() && is_word_char(source_[end])) ++end;
  return source_.substr(at_, end - at_);
}

bool Scanner::accept_word(std::string_view word) {
  if (peek_word() != word) return false;
  at_ += word.size();
  skip();
  return true;
}

std::string Scanner::name(std::string_view what) {
  if (peek() == '"') return string(what);
  const std::string_view word = peek_word();
  if (word.empty()) fail_expected(what);
  at_ += word.size();
  skip();
  return std::string(word);
}

std::string Scanner::string(std::string_view what) {
  if (peek() != '"') fail_expected(what);
  const size_t start = at_++;
  std::string text;
  for (;;) {
    const size_t end = source_.find_first_of("\"\\", at_);
    if (end == std::string_view::npos) {
      fail_at(start, "expected '\"' at the end of this string, got the end of the file");
    }
    text.append(source_.substr(at_, end - at_));
    at_ = end + 1;
    if (source_[end] == '"') break;
    escape(text);
  }
  skip();
  return text;
}

// The position is behind the backslash.
void Scanner::escape(std::string& text) {
  const size_t start = at_ - 1;
  const char c = peek();
  ++at_;
  switch (c) {
    case 'n':
      text += '\n';
      return;
    case 't':
      text += '\t';
      return;
    case 'r':
      text += '\r';
      return;
    case '0':
      text += '\0';
      return;
    case '"':
    case '\'':
    case '/':
    case '\\':
      text += c;
      return;
    case 'x':
      append_utf8(text, hex_digits(2));
      return;
    case 'u': {
      const uint32_t code = hex_digits(4);
      if (code >= 0xD800 && code <= 0xDFFF) {
        fail_at(start, "expected a character, got half of a surrogate pair");
      }
      append_utf8(text, code);
      return;
    }
    default:
      at_ = start;
      fail_expected(R"(one of \" \\ \/ \' \n \t \r \0 \xHH \uHHHH in a string)");
  }
}

uint32_t Scanner::hex_digits(size_t count) {
  const std::string_view digits = source_.substr(std::min(at_, source_.size()), count);
  uint32_t code = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
  if (error != std::errc() || digits.size() != count || end != digits.data() + count) {
    fail_expected(fmt::format("{} hexadecimal digits", count));
  }
  at_ += count;
  return code;
}

std::string_view Scanner::number() {
  const size_t start = at_;
  if (peek() == '-' || peek() == '+') ++at_;
  const bool is_hex = source_.substr(at_, 2) == "0x" || source_.substr(at_, 2) == "0X";
  const auto is_exponent = [&](char c) {
    return c == 'p' || c == 'P' || (!is_hex && (c == 'e' || c == 'E'));
  };
  while (!at_end() &&
         (is_word_char(source_[at_]) || ((source_[at_] == '-' || source_[at_] == '+') &&
                                         at_ > start && is_exponent(source_[at_ - 1])))) {
    ++at_;
  }
  const std::string_view text = source_.substr(start, at_ - start);
  skip();
  return text;
}

int64_t Scanner::extent(std::string_view what) {
  const std::string_view word = peek_word();
  int64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (word.empty() || error != std::errc() || end != word.data() + word.size()) fail_expected(what);
  at_ += word.size();
  skip();
  return value;
}

std::string Scanner::where(size_t offset) const {
  const std::string_view before = source_.substr(0, offset);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const size_t column = offset - (before.rfind('\n') + 1) + 1;
  std::string text = fmt::format("{}:{}:{}", file_, line, column);
  if (!place.function.empty()) text += fmt::format(": function '{}'", place.function);
  if (!place.op.empty()) text += fmt::format(": {}", place.op);
  if (!place.result.empty()) text += fmt::format(" '{}'", place.result);
  if (!place.parameter.empty()) text += fmt::format(": {}", place.parameter);
  return text;
}

void Scanner::fail_at(size_t offset, const std::string& message) const {
  throw Error(ErrorCode::kInvalidModel, message, where(offset));
}

void Scanner::fail_expected(std::string_view expected) const {
  fail(fmt::format("expected {}, got {}", expected, here()));
}

std::string Scanner::here() const {
  if (at_end()) return "the end of the file";
  size_t length = utf8_length(source_, at_);
  if (const std::string_view word = peek_word(); !word.empty()) {
    length = std::min(word.size(), kMaxQuoted);
  }
  if (peek() == '"') {
    while (length < kMaxQuoted && at_ + length < source_.size() && source_[at_ + length] != '\n') {
      const size_t next = at_ + length;
      length += utf8_length(source_, next);
      if (source_[next] == '"') break;
    }
  }
  return fmt::format("'{}'", source_.substr(at_, length));
}

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (size_t at = 0; at < text.size(); ++at) {
    switch (const char c = text[at]) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\r':
        out += "\\r";
        break;
      default:
        if (const auto hidden = hidden_character(text, at)) {
          out += hidden->code < 0x100 ? fmt::format("\\x{:02x}", hidden->code)
                                      : fmt::format("\\u{:04x}", hidden->code);
          at += hidden->length - 1;
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

}  // namespace mw::ir::text
