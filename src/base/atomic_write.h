// Writing a file or a folder so that its name shows what was there or what is new, never a part.
//
//   AtomicFile file("weights.safetensors");
//   file.write(header);
//   file.publish();
//
// Everything is written under a name of its own beside the target, synced, and renamed over it. Any
// number of threads and processes may write one target: a reader sees what one of them wrote. What
// a killed process left behind is removed by the next one that writes the same target; a kernel's
// lock on what is being written tells the living from the dead.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string_view>

#include "base/file_lock.h"
#include "base/output_file.h"

namespace mw {

// A new file or folder beside a target, hidden and locked. The destructor removes it.
class Temporary {
 public:
  enum class Kind : uint8_t { kFile, kFolder };
  // `shown` is what errors name.
  Temporary(const std::filesystem::path& target, Kind kind, const std::filesystem::path& shown);
  ~Temporary();
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] int descriptor() const { return lock_->descriptor(); }
  // What it was made for has its final name; at `leftover`, if any, stands what is to be removed.
  void published(std::filesystem::path leftover);

 private:
  std::filesystem::path path_;
  std::optional<FileLock> lock_;
};

// A symbolic link at the target is replaced, not followed. The folder of the target must exist.
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& target);
  // `shown` is what errors name; nothing where the caller names the target.
  AtomicFile(const std::filesystem::path& target, const std::filesystem::path& shown);

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  // Without it the destructor leaves the target as it was.
  void publish();

 private:
  std::filesystem::path shown_, target_;
  Temporary temporary_;
  OutputFile file_;
};

// A symbolic link at the target stays, and the folder that it leads to is replaced. Missing parent
// folders are created.
class AtomicFolder {
 public:
  explicit AtomicFolder(const std::filesystem::path& target);
  AtomicFolder(const std::filesystem::path& target, const std::filesystem::path& shown);

  [[nodiscard]] const std::filesystem::path& temporary() const { return temporary_.path(); }
  [[nodiscard]] const std::filesystem::path& target() const { return target_; }
  // Where a folder stands at the target, `prepare` is called with it, once all that was written is
  // on the disk and while no other AtomicFolder can replace it: to refuse, or to bring over what is
  // to stay. Then the two trade places, and the old one is removed.
  void publish(const std::function<void(const std::filesystem::path& old)>& prepare);

 private:
  std::filesystem::path target_;
  Temporary temporary_;
};

// Creates the folder and those above it that are missing.
void create_folders(const std::filesystem::path& folder);

void write_file_atomically(const std::filesystem::path& path, std::string_view bytes);

// Removes what killed processes left behind in this folder when they wrote into it.
void sweep_leftovers(const std::filesystem::path& folder);

}  // namespace mw
