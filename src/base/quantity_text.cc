// Amounts as a person reads them.
#include "base/quantity_text.h"

#include <fmt/format.h>

namespace mw {

std::string with_commas(int64_t value) {
  const std::string digits = std::to_string(value);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    const bool behind_digit = i > 0 && digits[i - 1] != '-';
    if (behind_digit && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string memory_text(uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  auto value = static_cast<double>(bytes) / 1e3;
  // What would be rounded to a thousand is one of the next unit.
  for (const char* unit : {"kB", "MB"}) {
    if (value < 999.95) return fmt::format("{:.1f} {}", value, unit);
    value /= 1e3;
  }
  if (value < 999.995) return fmt::format("{:.2f} GB", value);
  return fmt::format("{:.1f} TB", value / 1e3);
}

std::string seconds_text(double seconds) {
  const auto whole = static_cast<int64_t>(seconds);
  if (whole >= 3600) return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
  if (whole >= 60) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{:.1f} s", seconds);
}

}  // namespace mw
