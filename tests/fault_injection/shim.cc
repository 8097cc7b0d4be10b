// A library to preload: makes one chosen call of a run fail, or kills the process at it.
//
// Counted are the calls that reach a file below MW_FAULT_ROOT. With MW_FAULT_LOG each is written
// there as a line "NUMBER CALL SITE PATH"; SITE stands for the return addresses in the program
// itself. With MW_FAULT_AT=NUMBER and MW_FAULT_MODE=once|forever that call, or all from there on,
// fail with MW_FAULT_ERRNO; with kill the process dies before it. MW_FAULT_NO_EXCHANGE=1 takes
// away the exchange of two names, as some file systems lack it.
#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

enum class Mode { kNone, kOnce, kForever, kKill };

struct Settings {
  std::string root, log;
  long at = -1;
  Mode mode = Mode::kNone;
  int error = ENOSPC;
  bool no_exchange = false;
  uintptr_t begin = 0, end = 0;  // of the program
};

const char* setting(const char* name) {
  const char* value = getenv(name);
  return value == nullptr ? "" : value;
}

int first_object(dl_phdr_info* info, size_t, void* data) {
  auto& settings = *static_cast<Settings*>(data);
  settings.begin = UINTPTR_MAX;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& header = info->dlpi_phdr[i];
    if (header.p_type != PT_LOAD) continue;
    const uintptr_t from = info->dlpi_addr + header.p_vaddr;
    if (from < settings.begin) settings.begin = from;
    if (from + header.p_memsz > settings.end) settings.end = from + header.p_memsz;
  }
  return 1;  // the program comes first
}

Settings& settings() {
  static Settings* const kSettings = [] {
    auto* s = new Settings;
    s->root = setting("MW_FAULT_ROOT");
    s->log = setting("MW_FAULT_LOG");
    if (*setting("MW_FAULT_AT") != 0) s->at = atol(setting("MW_FAULT_AT"));
    const std::string mode = setting("MW_FAULT_MODE");
    s->mode = mode == "once"      ? Mode::kOnce
              : mode == "forever" ? Mode::kForever
              : mode == "kill"    ? Mode::kKill
                                  : Mode::kNone;
    if (*setting("MW_FAULT_ERRNO") != 0) s->error = atoi(setting("MW_FAULT_ERRNO"));
    s->no_exchange = *setting("MW_FAULT_NO_EXCHANGE") != 0;
    dl_iterate_phdr(first_object, s);
    return s;
  }();
  return *kSettings;
}

thread_local bool g_inside = false;  // what the shim itself calls does not count
std::atomic<long> g_count{0};

std::string path_of(int fd) {
  char target[4096];
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const long length = syscall(SYS_readlinkat, AT_FDCWD, link.c_str(), target, sizeof target);
  return length > 0 ? std::string(target, static_cast<size_t>(length)) : "";
}

std::string whole_path(int folder, const char* path) {
  if (path == nullptr || path[0] == '/') return path == nullptr ? "" : path;
  char here[4096];
  if (folder != AT_FDCWD) return path_of(folder) + "/" + path;
  return syscall(SYS_getcwd, here, sizeof here) > 0 ? std::string(here) + "/" + path : path;
}

uint64_t site() {
  void* frames[64];
  const int count = backtrace(frames, 64);
  uint64_t hash = 1469598103934665603ULL;
  for (int i = 0; i < count; ++i) {
    const auto address = reinterpret_cast<uintptr_t>(frames[i]);
    if (address < settings().begin || address >= settings().end) continue;
    hash = (hash ^ (address - settings().begin)) * 1099511628211ULL;
  }
  return hash;
}

// Whether this call is to fail.
bool fails(const char* call, const std::string& path) {
  const Settings& s = settings();
  if (s.root.empty() || path.compare(0, s.root.size() + 1, s.root + "/") != 0) return false;
  const long number = g_count++;
  if (!s.log.empty()) {
    const std::string line = std::to_string(number) + " " + call + " " + std::to_string(site()) +
                             " " + path.substr(s.root.size() + 1) + "\n";
    const int fd = static_cast<int>(syscall(SYS_openat, AT_FDCWD, s.log.c_str(),
                                            O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
    (void)!syscall(SYS_write, fd, line.data(), line.size());
    syscall(SYS_close, fd);
  }
  if (number == s.at && s.mode == Mode::kKill) syscall(SYS_kill, getpid(), SIGKILL);
  return (number == s.at && s.mode == Mode::kOnce) ||
         (s.at >= 0 && number >= s.at && s.mode == Mode::kForever);
}

// Calls the function that the shim stands in front of, unless that is to fail.
template <class Result, class... Args>
Result pass(const char* call, const std::string& path, Result failure, Args... args) {
  static thread_local struct Cache {
    const char* name = nullptr;
    Result (*function)(Args...) = nullptr;
  } cache;
  if (cache.name != call) {
    cache = {call, reinterpret_cast<Result (*)(Args...)>(dlsym(RTLD_NEXT, call))};
  }
  if (!g_inside) {
    g_inside = true;
    const bool fail = fails(call, path);
    g_inside = false;
    if (fail) {
      errno = settings().error;
      return failure;
    }
  }
  return cache.function(args...);
}

mode_t mode_from(int flags, va_list arguments) {
  return (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

}  // namespace

#define MW_OPEN(name)                                                                              \
  int name(const char* path, int flags, ...) {                                                     \
    va_list arguments;                                                                             \
    va_start(arguments, flags);                                                                    \
    const mode_t mode = mode_from(flags, arguments);                                               \
    va_end(arguments);                                                                             \
    return pass<int, const char*, int, mode_t>(#name, whole_path(AT_FDCWD, path), -1, path, flags, \
                                               mode);                                              \
  }
#define MW_OPENAT(name)                                                                          \
  int name(int folder, const char* path, int flags, ...) {                                       \
    va_list arguments;                                                                           \
    va_start(arguments, flags);                                                                  \
    const mode_t mode = mode_from(flags, arguments);                                             \
    va_end(arguments);                                                                           \
    return pass<int, int, const char*, int, mode_t>(#name, whole_path(folder, path), -1, folder, \
                                                    path, flags, mode);                          \
  }

extern "C" {

MW_OPEN(open)
MW_OPEN(open64)
MW_OPENAT(openat)
MW_OPENAT(openat64)

FILE* fopen(const char* path, const char* mode) {
  return pass<FILE*>("fopen", whole_path(AT_FDCWD, path), nullptr, path, mode);
}
FILE* fopen64(const char* path, const char* mode) {
  return pass<FILE*>("fopen64", whole_path(AT_FDCWD, path), nullptr, path, mode);
}
ssize_t write(int fd, const void* data, size_t size) {
  return pass<ssize_t>("write", path_of(fd), -1, fd, data, size);
}
ssize_t writev(int fd, const iovec* parts, int count) {
  return pass<ssize_t>("writev", path_of(fd), -1, fd, parts, count);
}
size_t fwrite(const void* data, size_t size, size_t count, FILE* file) {
  return pass<size_t>("fwrite", path_of(fileno(file)), 0, data, size, count, file);
}
int fsync(int fd) { return pass<int>("fsync", path_of(fd), -1, fd); }
int fdatasync(int fd) { return pass<int>("fdatasync", path_of(fd), -1, fd); }
int rename(const char* from, const char* to) noexcept {
  return pass<int>("rename", whole_path(AT_FDCWD, to), -1, from, to);
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to,
              unsigned flags) noexcept {
  if (settings().no_exchange && flags != 0) {
    errno = EINVAL;
    return -1;
  }
  return pass<int>("renameat2", whole_path(to_folder, to), -1, from_folder, from, to_folder, to,
                   flags);
}
int link(const char* from, const char* to) noexcept {
  return pass<int>("link", whole_path(AT_FDCWD, to), -1, from, to);
}
int symlink(const char* content, const char* path) noexcept {
  return pass<int>("symlink", whole_path(AT_FDCWD, path), -1, content, path);
}
int mkdir(const char* path, mode_t mode) noexcept {
  return pass<int>("mkdir", whole_path(AT_FDCWD, path), -1, path, mode);
}
int unlink(const char* path) noexcept {
  return pass<int>("unlink", whole_path(AT_FDCWD, path), -1, path);
}
int rmdir(const char* path) noexcept {
  return pass<int>("rmdir", whole_path(AT_FDCWD, path), -1, path);
}
int remove(const char* path) noexcept {
  return pass<int>("remove", whole_path(AT_FDCWD, path), -1, path);
}
int unlinkat(int folder, const char* path, int flags) noexcept {
  return pass<int>("unlinkat", whole_path(folder, path), -1, folder, path, flags);
}

}  // extern "C"
