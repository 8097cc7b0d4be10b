// FileLock: flock(), and the check that the locked file still has its name.
#include "base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/output_file.h"

namespace mw {
namespace fs = std::filesystem;
namespace {

constexpr const char* kLockName = ".lock";

bool is_named(int fd, const fs::path& path) {
  struct stat open {};
  struct stat named {};
  return ::fstat(fd, &open) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         open.st_dev == named.st_dev && open.st_ino == named.st_ino;
}

}  // namespace

std::optional<FileLock> FileLock::try_on(int descriptor, const fs::path& path) {
  const bool locked = ::flock(descriptor, LOCK_EX | LOCK_NB) == 0;
  const bool taken = !locked && errno == EWOULDBLOCK;
  FileLock lock(descriptor, locked);
  if (taken || !is_named(descriptor, path)) return std::nullopt;
  return lock;
}

std::optional<FileLock> FileLock::wait_for_folder(const fs::path& path) {
  constexpr auto kLongest = std::chrono::minutes(5);
  const auto started = std::chrono::steady_clock::now();
  auto pause = std::chrono::milliseconds(1);
  while (std::chrono::steady_clock::now() - started < kLongest) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return std::nullopt;
    if (fd < 0) fail_io(path, "open the folder", errno);
    // Nothing also when it was replaced meanwhile: then the new one is asked for.
    if (std::optional<FileLock> lock = try_on(fd, path)) return lock;
    std::this_thread::sleep_for(pause);
    pause = std::min(2 * pause, std::chrono::milliseconds(32));
  }
  fail(ErrorCode::kIo, "{}: another process has been replacing this folder for minutes",
       path.string());
}

FileLock FileLock::of_working_folder(const fs::path& folder) {
  const fs::path path = folder / kLockName;
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (fd < 0) fail_io(path, "create", errno);
  std::optional<FileLock> lock = try_on(fd, path);
  if (!lock) {
    fail(ErrorCode::kIo,
         "{}: another process works in this folder; wait until it has ended or choose another "
         "folder",
         folder.string());
  }
  return std::move(*lock);
}

FileLock::~FileLock() {
  if (fd_ < 0) return;
  // A process forked meanwhile may hold the descriptor open, too.
  if (locked_) ::flock(fd_, LOCK_UN);
  ::close(fd_);
}

FileLock::FileLock(FileLock&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), locked_(std::exchange(other.locked_, false)) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(locked_, other.locked_);
  return *this;
}

}  // namespace mw
