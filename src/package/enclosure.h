// Enclosure: keeps symbolic links from leading out of a model's folder.
#pragma once

#include <filesystem>
#include <vector>

namespace mw::package {

class Enclosure {
 public:
  // What lies in `root`, after links, is inside. A snapshot of the Hugging Face cache consists of
  // links to REPOSITORY/blobs; for `root` in REPOSITORY/snapshots that folder is inside, too.
  explicit Enclosure(const std::filesystem::path& root);

  [[nodiscard]] bool holds(const std::filesystem::path& path) const;
  // The path without links. Throws invalid_model for one that leads out, io for one that the system
  // does not resolve.
  [[nodiscard]] std::filesystem::path inside(const std::filesystem::path& path) const;

 private:
  [[nodiscard]] bool holds_canonical(const std::filesystem::path& path) const;

  std::vector<std::filesystem::path> folders_;
};

// The existing part of `path` without links, the rest as it is written.
std::filesystem::path without_links(const std::filesystem::path& path);
// Whether `path` is `folder` or stands below it; both without_links().
bool lies_in(const std::filesystem::path& path, const std::filesystem::path& folder);

}  // namespace mw::package
