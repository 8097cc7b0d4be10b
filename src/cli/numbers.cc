// Validators: their texts are those of CLI::Range.
#include "cli/numbers.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <string>

namespace mw::cli {

CLI::Validator number_in(double low, double high) {
  const auto check = [low, high](const std::string& text) -> std::string {
    double value = 0;
    const bool is_number = CLI::detail::lexical_cast(text, value);
    if (is_number && value >= low && value <= high) return "";
    return fmt::format("Value {} not in range {:g} to {:g}", text, low, high);
  };
  return {check, fmt::format("FLOAT in [{:g} - {:g}]", low, high), "RANGE"};
}

CLI::Validator seed_number() {
  const auto check = [](const std::string& text) -> std::string {
    uint64_t value = 0;
    const char* end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, value);
    if (result.ec == std::errc() && result.ptr == end) return "";
    return fmt::format("Value {} not in range 0 to {}", text, UINT64_MAX);
  };
  return {check, "", "SEED"};
}

}  // namespace mw::cli
