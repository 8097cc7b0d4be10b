// FileLock: an exclusive lock on an open file or folder, which ends with the process at the latest.
#pragma once

#include <filesystem>
#include <optional>

namespace mw {

// Owns a descriptor and the kernel's lock on it. Where the file system has no locks, nothing is
// locked and `is_locked()` is false.
class FileLock {
 public:
  // Takes over `descriptor`, which stands for the file at `path`. Nothing when another holds the
  // lock, or when `path` is no longer that file.
  static std::optional<FileLock> try_on(int descriptor, const std::filesystem::path& path);
  // Waits until it has the lock on the folder at `path`; nothing when nothing is there. Throws io
  // after minutes in which others had it.
  static std::optional<FileLock> wait_for_folder(const std::filesystem::path& path);
  // Of a folder that one process at a time works in. Throws io when another process does.
  static FileLock of_working_folder(const std::filesystem::path& folder);

  ~FileLock();
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

  [[nodiscard]] int descriptor() const { return fd_; }
  [[nodiscard]] bool is_locked() const { return locked_; }

 private:
  FileLock(int descriptor, bool locked) : fd_(descriptor), locked_(locked) {}

  int fd_;
  bool locked_;
};

}  // namespace mw
