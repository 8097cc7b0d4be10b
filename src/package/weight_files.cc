// WeightFiles: checked paths, one map per file, one range per blob.
#include "package/weight_files.h"

#include <system_error>
#include <utility>

#include "base/error.h"
#include "package/enclosure.h"

namespace mw::package {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kModelPath = "@model_path/";

void expect_apart(std::map<uint64_t, uint64_t>& ranges, uint64_t begin, uint64_t end) {
  const auto next = ranges.lower_bound(begin);
  if (next != ranges.end() && next->first == begin) return;
  const bool hits_next = next != ranges.end() && next->first < end;
  const bool hits_previous = next != ranges.begin() && std::prev(next)->second > begin;
  if (hits_next || hits_previous) {
    fail(ErrorCode::kInvalidModel,
         "offset {}: expected blobs that lie apart, but this one overlaps the one at {}", begin,
         hits_next ? next->first : std::prev(next)->first);
  }
  ranges.emplace_hint(next, begin, end);
}

bool is_there(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::none) {
    fail(ErrorCode::kIo, "{}: cannot open: {}", path.string(), error.message());
  }
  return fs::exists(status);
}

}  // namespace

std::vector<std::string> safe_parts(std::string_view path, int levels_up) {
  std::vector<std::string> parts;
  int up = 0;
  if (path.starts_with('/') || path.find('\0') != std::string_view::npos) {
    fail(ErrorCode::kInvalidModel, "path '{}': expected a relative path", path);
  }
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    path = slash == std::string_view::npos ? "" : path.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.emplace_back(part);
    } else if (!parts.empty() && parts.back() != "..") {
      parts.pop_back();
    } else {
      parts.emplace_back("..");
      ++up;
    }
    if (up > levels_up) {
      fail(ErrorCode::kInvalidModel,
           "a path leaves the model: expected at most {} levels up; the file is broken or "
           "hostile",
           levels_up);
    }
  }
  return parts;
}

WeightFiles::WeightFiles(fs::path folder, bool may_leave, std::vector<fs::path> items,
                         fs::path boundary)
    : folder_(std::move(folder)),
      may_leave_(may_leave),
      items_(std::move(items)),
      boundary_(std::move(boundary)) {}

fs::path WeightFiles::locate(const std::string& path) const {
  if (!path.starts_with(kModelPath)) {
    fail(ErrorCode::kInvalidModel, "expected a weight file under {}, got '{}'", kModelPath, path);
  }
  std::string_view rest = std::string_view(path).substr(kModelPath.size());
  while (rest.starts_with('/')) rest.remove_prefix(1);
  const std::vector<std::string> parts = safe_parts(rest, may_leave_ ? 1 : 0);
  if (parts.empty()) {
    fail(ErrorCode::kInvalidModel, "expected the name of a weight file, got '{}'", path);
  }
  const fs::path root = without_links(folder_.empty() ? "." : folder_);
  fs::path file = root;
  for (const std::string& part : parts) file = part == ".." ? file.parent_path() : file / part;
  const fs::path around = parts[0] == ".." ? root.parent_path() : root;
  const Enclosure model(boundary_.empty() ? around : boundary_);
  if (is_there(file)) return model.inside(file);
  for (const fs::path& item : items_) {
    if (item.filename() != parts[0]) continue;
    fs::path candidate = item;
    for (size_t i = 1; i < parts.size(); ++i) candidate /= parts[i];
    if (is_there(candidate)) {
      return Enclosure(boundary_.empty() ? item : boundary_).inside(candidate);
    }
  }
  fail(ErrorCode::kInvalidModel,
       "weight file '{}' is missing: expected it at {}; was the folder copied whole?", path,
       file.string());
}

WeightFiles::Entry& WeightFiles::entry(const std::string& path) {
  std::shared_ptr<Entry>& by_path = entries_[path];
  if (by_path) return *by_path;
  const fs::path file = locate(path);
  std::shared_ptr<Entry>& by_file = by_file_[file.string()];
  if (!by_file) {
    const auto mapped = MappedFile::open(file);
    by_file = std::make_shared<Entry>(Entry{BlobFile(mapped->bytes(), mapped), {}});
    mapped_.push_back(mapped);
  }
  by_path = by_file;
  return *by_path;
}

Tensor WeightFiles::resolve(const ir::Type& type, const ir::BlobRef& ref) {
  Entry& file = entry(ref.path);
  return in_context([&] { return ref.path; },
                    [&] {
                      Tensor tensor = file.blobs.tensor(type, ref.offset);
                      const BlobRecord record = file.blobs.record(ref.offset);
                      expect_apart(file.ranges, record.offset, record.data_offset + record.size);
                      return tensor;
                    });
}

}  // namespace mw::package
