// Amounts as a person reads them.
#pragma once

#include <cstdint>
#include <string>

namespace mw {

std::string with_commas(int64_t value);    // "869,504"
std::string memory_text(uint64_t bytes);   // "512 B", "1.2 MB", "1.50 GB"
std::string seconds_text(double seconds);  // "8.2 s", "3 min 05 s", "2 h 07 min"

}  // namespace mw
