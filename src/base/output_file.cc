// OutputFile: writes until all is written, pads, syncs.
#include "base/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace mw {
namespace fs = std::filesystem;

void fail_io(const fs::path& path, std::string_view action, int reason) {
  std::string shown = path.string();
  if (const size_t at = shown.find("/."); at != std::string::npos) {
    const size_t temporary = shown.find(kWriting, at);
    const size_t slash = temporary == std::string::npos ? temporary : shown.find('/', temporary);
    if (slash != std::string::npos) shown = shown.substr(slash + 1);
    if (temporary != std::string::npos && slash == std::string::npos) shown.clear();
  }
  fail(ErrorCode::kIo, "{}{}cannot {}: {}", shown, shown.empty() ? "" : ": ", action,
       std::generic_category().message(reason));
}

OutputFile::OutputFile(fs::path path)
    : path_(std::move(path)),
      fd_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) {
  if (fd_ < 0) fail_io(path_, "create", errno);
}

OutputFile::OutputFile(fs::path path, int descriptor) : path_(std::move(path)), fd_(descriptor) {}

OutputFile OutputFile::append_to(fs::path path) {
  int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  // Where a process has closed its stderr, a file that stays open must not take its number: what
  // others print would be in it.
  if (fd >= 0 && fd <= STDERR_FILENO) {
    const int higher = ::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    ::close(fd);
    fd = higher;
  }
  if (fd < 0) fail_io(path, "open for writing", errno);
  return {std::move(path), fd};
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), size_(other.size_) {}

OutputFile::~OutputFile() {
  if (fd_ >= 0) ::close(fd_);
}

void OutputFile::write(std::span<const std::byte> bytes) {
  constexpr size_t kChunk = size_t{1} << 30;  // the kernel takes no more than 2 GiB at once
  while (!bytes.empty()) {
    const ssize_t wrote = ::write(fd_, bytes.data(), std::min(bytes.size(), kChunk));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0 && errno == EFAULT) {  // a mapped page that is no longer there
      fail(ErrorCode::kIo,
           "{}: cannot write: a file that the model was read from was truncated meanwhile",
           path_.string());
    }
    if (wrote < 0) fail_io(path_, "write", errno);
    bytes = bytes.subspan(static_cast<size_t>(wrote));
    size_ += static_cast<uint64_t>(wrote);
  }
}

void OutputFile::pad_to(uint64_t size) {
  constexpr std::array<std::byte, 64> kZeros{};
  while (size_ < size) {
    write(std::span(kZeros).first(std::min<uint64_t>(size - size_, kZeros.size())));
  }
}

void OutputFile::sync() {
  // Pipes and some file systems cannot be synced and say EINVAL.
  if (::fsync(fd_) != 0 && errno != EINVAL) fail_io(path_, "sync", errno);
}

void OutputFile::close() {
  sync();
  const int fd = std::exchange(fd_, -1);
  if (::close(fd) != 0) fail_io(path_, "close", errno);
}

void sync_folder(const fs::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail_io(folder, "open the folder", errno);
  const int result = ::fsync(fd);
  const int reason = errno;
  ::close(fd);
  // Some file systems cannot sync folders and say EINVAL.
  if (result != 0 && reason != EINVAL) fail_io(folder, "sync the folder", reason);
}

}  // namespace mw
