// Enclosure: canonical paths compared part by part.
#include "package/enclosure.h"

#include <algorithm>
#include <system_error>

#include "base/error.h"

namespace mw::package {
namespace fs = std::filesystem;

bool lies_in(const fs::path& path, const fs::path& folder) {
  const auto ends = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  return ends.first == folder.end();
}

fs::path without_links(const fs::path& path) {
  std::error_code error;
  fs::path found = fs::weakly_canonical(fs::absolute(path, error), error);
  if (error) found = fs::absolute(path, error);
  found = found.lexically_normal();
  return found.has_filename() ? found : found.parent_path();
}

Enclosure::Enclosure(const fs::path& root) : folders_{without_links(root.empty() ? "." : root)} {
  for (fs::path at = folders_[0].parent_path(); at.has_relative_path(); at = at.parent_path()) {
    if (at.filename() == "snapshots") folders_.push_back(at.parent_path() / "blobs");
  }
}

bool Enclosure::holds_canonical(const fs::path& path) const {
  return std::any_of(folders_.begin(), folders_.end(),
                     [&](const fs::path& folder) { return lies_in(path, folder); });
}

bool Enclosure::holds(const fs::path& path) const {
  std::error_code error;
  const fs::path found = fs::canonical(path, error);
  return !error && holds_canonical(found);
}

fs::path Enclosure::inside(const fs::path& path) const {
  std::error_code error;
  fs::path found = fs::canonical(path, error);
  if (error) fail(ErrorCode::kIo, "{}: cannot open: {}", path.string(), error.message());
  if (!holds_canonical(found)) {
    fail(ErrorCode::kInvalidModel,
         "{}: a symbolic link leads out of the model, to {}, and is not followed; "
         "`cp -rL` copies a model with what its links lead to",
         path.string(), found.string());
  }
  return found;
}

}  // namespace mw::package
