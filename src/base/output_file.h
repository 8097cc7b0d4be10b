// OutputFile: unbuffered writes to a file whose every failure is a sentence.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

namespace mw {

inline constexpr std::string_view kWriting = ".writing-";  // in temporary names

// Throws io: "PATH: cannot ACTION: " and what errno value `reason` means. Of a path below a
// temporary folder (atomic_write.h) the part inside it is shown; the caller names the target.
[[noreturn]] void fail_io(const std::filesystem::path& path, std::string_view action, int reason);

// A file being written. Every failure of the operating system is an io error that names the file.
class OutputFile {
 public:
  explicit OutputFile(std::filesystem::path path);  // must not exist yet
  // Takes over an open descriptor; `path` is what errors name.
  OutputFile(std::filesystem::path path, int descriptor);
  // At the end of the file that is there, or of a new one.
  static OutputFile append_to(std::filesystem::path path);
  ~OutputFile();
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  void pad_to(uint64_t size);                            // with zeros
  [[nodiscard]] uint64_t size() const { return size_; }  // bytes written so far
  void sync();                                           // to the disk
  void close();  // after syncing; without it the content is not certain to survive

 private:
  std::filesystem::path path_;
  int fd_;
  uint64_t size_ = 0;
};

// So that the names in it survive a loss of power.
void sync_folder(const std::filesystem::path& folder);

}  // namespace mw
