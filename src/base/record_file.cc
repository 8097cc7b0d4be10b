// RecordFile: records behind a line of text, read where they are asked for.
#include "base/record_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/checksum.h"
#include "base/error.h"
#include "base/output_file.h"
#include "base/paths.h"

namespace mw {
namespace {

constexpr size_t kLongestLine = size_t{1} << 16;

// Before the payload of a record; behind it its checksum.
struct Head {
  uint64_t key = 0, size = 0, check = 0;

  [[nodiscard]] uint64_t sum() const {
    return Checksum().add(&key, sizeof key).add(&size, sizeof size).value();
  }
};

uint64_t sum_of(uint64_t key, std::string_view payload) {
  return Checksum().add(&key, sizeof key).add(payload).value();
}

// An exclusive lock for as long as it lives, where the file system has locks.
class Locked {
 public:
  explicit Locked(int fd) : fd_(fd) {
    while (::flock(fd_, LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  ~Locked() { ::flock(fd_, LOCK_UN); }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;

 private:
  int fd_;
};

}  // namespace

RecordFile::RecordFile(std::filesystem::path path, std::string kind)
    : path_(std::move(path)), kind_(std::move(kind)) {
  const auto folder = path_.has_parent_path() ? path_.parent_path() : ".";
  if (!is_folder(folder)) {
    fail(ErrorCode::kIo, "{}: expected a file in a folder that is there, got none at {}",
         path_.string(), folder.string());
  }
  open(0);
  if (!is_open() || bytes() == 0) return;
  read_header();
  scan();
}

RecordFile::Descriptor::~Descriptor() {
  if (fd >= 0) ::close(fd);
}

// A file that may only be read is read.
void RecordFile::open(int flags) {
  int& fd = file_.fd;
  fd = ::open(path_.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK | flags, 0666);
  if (fd < 0 && flags == 0 && (errno == EACCES || errno == EROFS)) {
    fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    is_readable_only_ = fd >= 0;
  }
  if (fd < 0 && flags == 0 && errno == ENOENT) return;
  if (fd < 0) fail_io(path_, flags == 0 ? "open" : "create", errno);
  struct stat status {};
  if (::fstat(file_.fd, &status) != 0) fail_io(path_, "look at", errno);
  if (S_ISREG(status.st_mode)) return;
  fail(ErrorCode::kInvalidArgument, "{}: expected a file, got something else", path_.string());
}

uint64_t RecordFile::bytes() const {
  struct stat status {};
  if (::fstat(file_.fd, &status) != 0) fail_io(path_, "look at", errno);
  return static_cast<uint64_t>(status.st_size);
}

void RecordFile::read(uint64_t offset, char* to, size_t size) const {
  while (size > 0) {
    const ssize_t count = ::pread(file_.fd, to, size, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_io(path_, "read", errno);
    if (count == 0) fail(ErrorCode::kIo, "{}: has become shorter meanwhile", path_.string());
    to += count;
    offset += static_cast<uint64_t>(count);
    size -= static_cast<size_t>(count);
  }
}

void RecordFile::read_header() {
  std::string line(std::min<uint64_t>(bytes(), kLongestLine), '\0');
  read(0, line.data(), line.size());
  const size_t end = line.find('\n');
  const std::string begin = kind_ + " ";
  if (end == std::string::npos || !line.starts_with(begin)) {
    fail(ErrorCode::kInvalidArgument, "{}: expected a file that begins with {}, got another",
         path_.string(), kind_);
  }
  header_ = line.substr(begin.size(), end - begin.size());
  end_ = end + 1;
}

void RecordFile::fail_damaged(uint64_t offset) const {
  fail(ErrorCode::kInvalidArgument,
       "{}: damaged: expected a record at byte {}, got something else; remove the file",
       path_.string(), offset);
}

std::string RecordFile::payload_at(const Place& place) const {
  std::string payload(place.size, '\0');
  read(place.offset, payload.data(), payload.size());
  return payload;
}

bool RecordFile::is_whole(uint64_t key, const Place& place) const {
  uint64_t sum = 0;
  std::array<char, sizeof sum> raw{};
  read(place.offset + place.size, raw.data(), raw.size());
  std::memcpy(&sum, raw.data(), sizeof sum);
  return sum == sum_of(key, payload_at(place));
}

void RecordFile::scan() {
  const uint64_t all = bytes();
  while (all - end_ >= sizeof(Head)) {
    std::array<char, sizeof(Head)> raw{};
    read(end_, raw.data(), raw.size());
    Head head;
    std::memcpy(&head, raw.data(), sizeof head);
    // What the system had not written yet when it stopped.
    if (head.key == 0 && head.size == 0 && head.check == 0) return;
    if (head.check != head.sum()) fail_damaged(end_);
    const Place place = {end_ + sizeof head, head.size};
    const uint64_t left = all - place.offset;
    if (left < sizeof(uint64_t) || head.size > left - sizeof(uint64_t)) return;
    const uint64_t next = place.offset + place.size + sizeof(uint64_t);
    if (next == all && !is_whole(head.key, place)) return;
    places_.emplace(head.key, place);
    end_ = next;
  }
}

std::optional<std::string> RecordFile::find(uint64_t key) const {
  const auto found = places_.find(key);
  if (found == places_.end()) return std::nullopt;
  if (!is_whole(key, found->second)) fail_damaged(found->second.offset - sizeof(Head));
  return payload_at(found->second);
}

void RecordFile::write_at_end(std::string_view bytes) {
  uint64_t at = end_;
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(file_.fd, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const int reason = errno;
      (void)!::ftruncate(file_.fd, static_cast<off_t>(end_));
      fail_io(path_, "write", reason);
    }
    at += static_cast<uint64_t>(count);
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  end_ = at;
}

void RecordFile::append(uint64_t key, std::string_view payload, std::string_view header) {
  if (!is_open()) open(O_CREAT);
  if (is_readable_only_) fail_io(path_, "write", EACCES);
  const Locked locked(file_.fd);
  if (!header_ && bytes() == 0) {
    write_at_end(fmt::format("{} {}\n", kind_, header));
    header_ = header;
  }
  // What others have written meanwhile.
  if (!header_) read_header();
  if (*header_ != header) {
    fail(ErrorCode::kInvalidArgument, "{}: another process has made it for something else",
         path_.string());
  }
  scan();
  if (places_.contains(key)) return;
  if (bytes() > end_ && ::ftruncate(file_.fd, static_cast<off_t>(end_)) != 0) {
    fail_io(path_, "shorten", errno);
  }
  Head head = {.key = key, .size = payload.size()};
  head.check = head.sum();
  const uint64_t sum = sum_of(key, payload);
  std::string record(sizeof head + payload.size() + sizeof sum, '\0');
  std::memcpy(record.data(), &head, sizeof head);
  std::memcpy(record.data() + sizeof head, payload.data(), payload.size());
  std::memcpy(record.data() + sizeof head + payload.size(), &sum, sizeof sum);
  const Place place = {end_ + sizeof head, payload.size()};
  write_at_end(record);
  places_.emplace(key, place);
}

}  // namespace mw
