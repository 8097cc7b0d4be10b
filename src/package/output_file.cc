// OutputFile and AtomicTarget: unbuffered writes, syncing and the final rename.
#include "package/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace mw::package {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void fail_io(const fs::path& path, std::string_view action, int reason) {
  fail(ErrorCode::kIo, "{}: cannot {}: {}", path.string(), action, std::strerror(reason));
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

void sync_tree(const fs::path& root) {
  if (!fs::is_directory(root)) return;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.is_directory() && !entry.is_symlink()) sync_folder(entry.path());
  }
  sync_folder(root);
}

// Atomically trades the two names. False when the file system has no such call.
bool exchange(const fs::path& a, const fs::path& b) {
#ifdef RENAME_EXCHANGE
  if (::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0) return true;
  if (errno != EINVAL && errno != ENOSYS) fail_io(b, "replace", errno);
#else
  static_cast<void>(a), static_cast<void>(b);
#endif
  return false;
}

// A sibling of `target` that does not exist: hidden, and recognisable should a crash leave it
// behind.
fs::path sibling(const fs::path& target, std::string_view purpose) {
  static std::atomic<unsigned> counter{0};
  for (;;) {
    const std::string name =
        fmt::format(".{}.{}-{}-{}", target.filename().string(), purpose, ::getpid(), counter++);
    fs::path path = target.parent_path() / name;
    if (!fs::exists(fs::symlink_status(path))) return path;
  }
}

fs::path resolved(const fs::path& target) {
  std::error_code error;
  fs::path path = fs::is_symlink(target, error) ? fs::weakly_canonical(target, error)
                                                : fs::absolute(target, error);
  if (error) {
    fail(ErrorCode::kIo, "{}: cannot resolve the path: {}", target.string(), error.message());
  }
  path = path.lexically_normal();
  return path.has_filename() ? path : path.parent_path();
}

}  // namespace

OutputFile::OutputFile(fs::path path)
    : path_(std::move(path)),
      fd_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) {
  if (fd_ < 0) fail_io(path_, "create", errno);
}

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

void OutputFile::close() {
  if (::fsync(fd_) != 0) fail_io(path_, "sync", errno);
  const int fd = std::exchange(fd_, -1);
  if (::close(fd) != 0) fail_io(path_, "close", errno);
}

AtomicTarget::AtomicTarget(const fs::path& target) : target_(resolved(target)) {
  std::error_code error;
  fs::create_directories(target_.parent_path(), error);
  if (error) {
    fail(ErrorCode::kIo, "{}: cannot create the folder: {}", target_.parent_path().string(),
         error.message());
  }
  temporary_ = sibling(target_, "writing");
}

AtomicTarget::~AtomicTarget() {
  std::error_code ignored;
  fs::remove_all(temporary_, ignored);
}

void AtomicTarget::publish() {
  sync_tree(temporary_);
  const bool replaces = fs::exists(fs::symlink_status(target_));
  if (!replaces || fs::is_regular_file(temporary_)) {
    if (::rename(temporary_.c_str(), target_.c_str()) != 0) {
      fail_io(target_, "rename the finished file to", errno);
    }
  } else if (!exchange(temporary_, target_)) {
    const fs::path aside = sibling(target_, "old");
    if (::rename(target_.c_str(), aside.c_str()) != 0) fail_io(target_, "move aside", errno);
    if (::rename(temporary_.c_str(), target_.c_str()) != 0) {
      const int reason = errno;
      if (::rename(aside.c_str(), target_.c_str()) != 0) {
        fail_io(target_, "restore from " + aside.string(), errno);
      }
      fail_io(target_, "replace", reason);
    }
    temporary_ = aside;
  }
  sync_folder(target_.parent_path());
}

}  // namespace mw::package
