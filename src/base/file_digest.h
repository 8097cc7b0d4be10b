// digest_of(): what tells the bytes of a file from those of another.
#pragma once

#include <filesystem>
#include <string>

namespace mw {

// 16 hexadecimal digits, a Checksum over all bytes. Throws io where the file cannot be read.
std::string digest_of(const std::filesystem::path& file);

}  // namespace mw
