// plain_name(): names that differ in case and underscores only have the same one.
#pragma once

#include <cctype>
#include <string>

namespace mw {

// "inputIds", "input_ids" -> "inputids"
inline std::string plain_name(const std::string& name) {
  std::string plain;
  for (const char c : name) {
    if (c != '_') plain += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return plain;
}

}  // namespace mw
