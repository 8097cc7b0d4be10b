// Digests of files, read through a map.
#include "base/file_digest.h"

#include "base/checksum.h"
#include "base/error.h"
#include "base/mapped_file.h"

namespace mw {

std::string digest_of(const std::filesystem::path& file) {
  const auto mapped = MappedFile::open(file);
  const auto bytes = mapped->bytes();
  const uint64_t sum = Checksum().add(bytes.data(), bytes.size()).value();
  mapped->check_intact();
  return fmt::format("{:016x}", sum);
}

}  // namespace mw
