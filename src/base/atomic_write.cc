// Temporary names and their locks, the final rename, and the sweeping of leftovers.
#include "base/atomic_write.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <string>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/os.h"

namespace mw {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kOld = ".old-";

uint64_t random_bits() {
  uint64_t bits = 0;
  if (::getrandom(&bits, sizeof bits, GRND_NONBLOCK) == sizeof bits) return bits;
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

// What the temporary names of a target begin with. Long names are cut, so that what is added fits
// into the 255 bytes that file systems allow.
std::string stem_of(const fs::path& target) {
  constexpr size_t kMost = 180;
  std::string name = target.filename().string();
  if (name.size() > kMost) {
    name = fmt::format("{}~{:016x}", name.substr(0, kMost - 17), std::hash<std::string>()(name));
  }
  return "." + name;
}

// ".NAME.writing-PID-COUNT-RANDOM". The random part keeps apart processes of several containers or
// hosts on one disk.
fs::path fresh_name(const fs::path& target, std::string_view purpose) {
  static std::atomic<unsigned> counter{0};
  return target.parent_path() / fmt::format("{}{}{}-{}-{:016x}", stem_of(target), purpose,
                                            ::getpid(), counter++, random_bits());
}

bool is_suffix(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789", kHexDigits = "0123456789abcdef";
  const size_t first = text.find('-');
  const size_t second = first == std::string_view::npos ? first : text.find('-', first + 1);
  if (second == std::string_view::npos) return false;
  const auto all = [](std::string_view part, std::string_view of) {
    return !part.empty() && part.find_first_not_of(of) == std::string_view::npos;
  };
  return all(text.substr(0, first), kDigits) &&
         all(text.substr(first + 1, second - first - 1), kDigits) && text.size() - second == 17 &&
         all(text.substr(second + 1), kHexDigits);
}

// The length of NAME in a name that fresh_name() made for `purpose`; 0 for any other.
size_t stem_length(std::string_view name, std::string_view purpose) {
  const size_t at = name.rfind(purpose);
  if (!name.starts_with('.') || at == std::string_view::npos || at < 2) return 0;
  return is_suffix(name.substr(at + purpose.size())) ? at : 0;
}

// A folder may hold folders that its owner cannot write to.
void remove_tree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (!error) return;
  const auto options = fs::directory_options::skip_permission_denied;
  for (fs::recursive_directory_iterator at(path, options, error), end; !error && at != end;
       at.increment(error)) {
    std::error_code ignored;
    if (fs::symlink_status(at->path(), ignored).type() == fs::file_type::directory) {
      fs::permissions(at->path(), fs::perms::owner_all, fs::perm_options::add, ignored);
    }
  }
  fs::remove_all(path, error);
}

void sweep(const fs::path& path, const fs::path& restored) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return;
  const std::optional<FileLock> lock = FileLock::try_on(fd, path);
  if (!lock || !lock->is_locked()) return;  // its process lives, or that cannot be known
  if (!restored.empty() && ::access(restored.c_str(), F_OK) != 0 && errno == ENOENT) {
    ::rename(path.c_str(), restored.c_str());
  } else {
    remove_tree(path);
  }
}

// With `only`, the leftovers of this target alone. One that was moved aside, by a process that died
// before it had put the new one in its place, gets its name back.
void sweep_folder(const fs::path& folder, const fs::path& only) {
  std::error_code error;
  const std::string stem = only.empty() ? "" : stem_of(only);
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (!only.empty() && !name.starts_with(stem)) continue;
    for (const std::string_view purpose : {kWriting, kOld}) {
      const size_t length = stem_length(name, purpose);
      if (length == 0 || (!only.empty() && length != stem.size())) continue;
      const bool aside = purpose == kOld;
      if (aside && only.empty()) continue;
      sweep(at->path(), aside ? only : fs::path());
    }
  }
}

// Atomically trades the two names. False when the file system has no such call.
bool exchange(const fs::path& a, const fs::path& b) {
  const os::Exchange result = os::exchange_names(a, b);
  if (result == os::Exchange::kFailed) fail_io(b, "replace", errno);
  return result == os::Exchange::kDone;
}

// For file systems that cannot trade names: the target is missing for a moment, and a process that
// dies in it leaves the old one to sweep_folder().
void move_aside(const fs::path& target, const fs::path& aside, const fs::path& next) {
  if (::rename(target.c_str(), aside.c_str()) != 0) fail_io(target, "move aside", errno);
  if (::rename(next.c_str(), target.c_str()) == 0) return;
  const int reason = errno;
  if (::rename(aside.c_str(), target.c_str()) != 0) {
    fail_io(target, "restore from " + aside.string(), errno);
  }
  fail_io(target, "replace", reason);
}

fs::path whole_path(const fs::path& target) {
  std::error_code error;
  fs::path path = fs::absolute(target, error);
  if (error) {
    fail(ErrorCode::kIo, "{}: cannot resolve the path: {}", target.string(), error.message());
  }
  path = path.lexically_normal();
  return path.has_filename() ? path : path.parent_path();
}

fs::path behind_link(const fs::path& target) {
  fs::path path = whole_path(target);
  std::error_code error;
  if (!fs::is_symlink(path, error)) return path;
  path = fs::weakly_canonical(path, error);
  if (error) {
    fail(ErrorCode::kIo, "{}: cannot follow the link: {}", target.string(), error.message());
  }
  return path;
}

fs::path with_parents(fs::path target) {
  create_folders(target.parent_path());
  return target;
}

void sync_tree(const fs::path& root) {
  std::error_code error;
  fs::recursive_directory_iterator at(root, error);
  for (const fs::recursive_directory_iterator end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    if (at->is_directory(ignored) && !at->is_symlink(ignored)) sync_folder(at->path());
  }
  if (error) fail(ErrorCode::kIo, "{}: cannot list the folder: {}", root.string(), error.message());
  sync_folder(root);
}

int duplicate(int descriptor, const fs::path& path) {
  const int fd = ::fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
  if (fd < 0) fail_io(path, "write", errno);
  return fd;
}

}  // namespace

Temporary::Temporary(const fs::path& target, Kind kind, const fs::path& shown) {
  constexpr int kAttempts = 100;
  sweep_folder(target.parent_path(), target);
  for (int attempt = 0; attempt < kAttempts && !lock_; ++attempt) {
    fs::path path = fresh_name(target, kWriting);
    int fd = -1;
    if (kind == Kind::kFile) {
      fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } else if (::mkdir(path.c_str(), 0777) == 0) {
      fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      const int reason = errno;
      if (fd < 0 && reason != ENOENT) ::rmdir(path.c_str());
      if (fd < 0 && reason == ENOENT) continue;  // swept before it was locked
      errno = reason;
    }
    if (fd < 0 && errno == EEXIST) continue;
    if (fd < 0) fail_io(shown, "write", errno);
    lock_ = FileLock::try_on(fd, path);  // nothing when it was swept before it was locked
    if (lock_) path_ = std::move(path);
  }
  if (!lock_) fail_io(shown, "write", EEXIST);
}

Temporary::~Temporary() {
  if (!path_.empty()) remove_tree(path_);
}

void Temporary::published(fs::path leftover) {
  path_ = std::move(leftover);
  lock_.reset();
}

namespace {

// Whatever fails in `body` leaves the target as it was, and the error says so.
template <class Body>
void unchanged(const Body& body) {
  try {
    body();
  } catch (const Error& e) {
    fail(e.code(), "{}; what was there before is unchanged", e.what());
  }
}

void expect_replaceable(const fs::path& target, const fs::path& shown) {
  struct stat info {};
  if (::lstat(target.c_str(), &info) != 0) return;
  if (S_ISDIR(info.st_mode)) fail_io(shown, "write", EISDIR);
  if (S_ISREG(info.st_mode) || S_ISLNK(info.st_mode)) return;
  fail(ErrorCode::kIo, "{}{}expected a regular file to replace, got something else", shown.string(),
       shown.empty() ? "" : ": ");
}

}  // namespace

AtomicFile::AtomicFile(const fs::path& target) : AtomicFile(target, target) {}

AtomicFile::AtomicFile(const fs::path& target, const fs::path& shown)
    : shown_(shown),
      target_(whole_path(target)),
      temporary_(target_, Temporary::Kind::kFile, shown_),
      file_(shown_, duplicate(temporary_.descriptor(), shown_)) {
  expect_replaceable(target_, shown_);
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  unchanged([&] { file_.write(bytes); });
}

void AtomicFile::publish() {
  unchanged([&] {
    file_.close();
    if (::rename(temporary_.path().c_str(), target_.c_str()) != 0) {
      fail_io(shown_, "write", errno);
    }
  });
  temporary_.published({});
  sync_folder(target_.parent_path());
}

AtomicFolder::AtomicFolder(const fs::path& target) : AtomicFolder(target, target) {}

AtomicFolder::AtomicFolder(const fs::path& target, const fs::path& shown)
    : target_(with_parents(behind_link(target))),
      temporary_(target_, Temporary::Kind::kFolder, shown) {}

void AtomicFolder::publish(const std::function<void(const fs::path& old)>& prepare) {
  for (;;) {
    const std::optional<FileLock> old = FileLock::wait_for_folder(target_);
    if (old) prepare(target_);
    sync_tree(temporary());
    if (!old) {
      if (::rename(temporary().c_str(), target_.c_str()) == 0) break;
      if (errno == EEXIST || errno == ENOTEMPTY) continue;  // another one was there first
      fail_io(target_, "rename the finished folder to", errno);
    }
    fs::path leftover = temporary();
    if (!exchange(temporary(), target_)) {
      leftover = fresh_name(target_, kOld);
      move_aside(target_, leftover, temporary());
    }
    temporary_.published(leftover);
    sync_folder(target_.parent_path());
    return remove_tree(leftover);
  }
  temporary_.published({});
  sync_folder(target_.parent_path());
}

void create_folders(const fs::path& folder) {
  std::error_code error;
  if (!folder.empty()) fs::create_directories(folder, error);
  if (error) {
    fail(ErrorCode::kIo, "{}: cannot create the folder: {}", folder.string(), error.message());
  }
}

void write_file_atomically(const fs::path& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.publish();
}

void sweep_leftovers(const fs::path& folder) { sweep_folder(folder, {}); }

}  // namespace mw
