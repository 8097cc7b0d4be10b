// MappedFile: mmap with a SIGBUS handler that replaces lost pages of registered maps by zeros.
#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <mutex>

#include "base/error.h"

namespace mw {
namespace {

// The handler may only touch lock-free state: a fixed table of mapped ranges.
struct Range {
  std::atomic<uintptr_t> begin{0};
  std::atomic<uintptr_t> end{0};
  std::atomic<bool> damaged{false};
};
constexpr size_t kMaxRanges = 4096;
std::array<Range, kMaxRanges> g_ranges;
std::mutex g_mutex;
struct sigaction g_previous {};

void on_sigbus(int signal, siginfo_t* info, void* context) {
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  for (Range& range : g_ranges) {
    if (address < range.begin.load() || address >= range.end.load()) continue;
    auto* at = static_cast<std::byte*>(info->si_addr) - address % page;
    if (mmap(at, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED) {
      range.damaged.store(true);
      return;
    }
  }
  if ((g_previous.sa_flags & SA_SIGINFO) != 0 && g_previous.sa_sigaction != nullptr) {
    g_previous.sa_sigaction(signal, info, context);
    return;
  }
  sigaction(SIGBUS, &g_previous,
            nullptr);  // the access faults again, in the hands of whoever was there
}

int register_range(uintptr_t begin, uintptr_t end) {
  const std::lock_guard lock(g_mutex);
  static bool installed = false;
  if (!installed) {
    struct sigaction action {};
    action.sa_sigaction = on_sigbus;
    action.sa_flags = SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &g_previous);
    installed = true;
  }
  for (size_t i = 0; i < kMaxRanges; ++i) {
    if (g_ranges[i].end.load() != 0) continue;
    g_ranges[i].damaged.store(false);
    g_ranges[i].begin.store(begin);
    g_ranges[i].end.store(end);
    return static_cast<int>(i);
  }
  fail(ErrorCode::kOutOfMemory, "more than {} files are mapped at once", kMaxRanges);
}

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& message) {
  throw Error(ErrorCode::kIo, message, path.string());
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) refuse(path, std::string("cannot open: ") + std::strerror(errno));
  struct stat info {};
  const bool regular = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  if (!regular) {
    ::close(fd);
    refuse(path, "expected a regular file");
  }
  const auto size = static_cast<size_t>(info.st_size);
  if (size == 0) {
    ::close(fd);
    return std::shared_ptr<const MappedFile>(new MappedFile(path, nullptr, 0, -1));
  }
  void* data = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  const int reason = errno;
  ::close(fd);
  if (data == MAP_FAILED) {
    throw Error(reason == ENOMEM ? ErrorCode::kOutOfMemory : ErrorCode::kIo,
                fmt::format("cannot map {} bytes: {}", size, std::strerror(reason)), path.string());
  }
  const auto begin = reinterpret_cast<uintptr_t>(data);
  const int slot = register_range(begin, begin + size);
  return std::shared_ptr<const MappedFile>(
      new MappedFile(path, static_cast<const std::byte*>(data), size, slot));
}

MappedFile::~MappedFile() {
  if (data_ == nullptr) return;
  Range& range = g_ranges[static_cast<size_t>(slot_)];
  range.begin.store(UINTPTR_MAX);
  munmap(const_cast<std::byte*>(data_), size_);
  const std::lock_guard lock(g_mutex);
  range.end.store(0);
}

void MappedFile::check_intact() const {
  if (slot_ >= 0 && g_ranges[static_cast<size_t>(slot_)].damaged.load()) {
    refuse(path_, "the file was truncated while it was in use; load the model again");
  }
}

}  // namespace mw
