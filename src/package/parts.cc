// parts_at(): which of the forms a folder has, and parts by the names of their files.
#include "package/parts.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/paths.h"
#include "package/container.h"
#include "package/enclosure.h"
#include "package/json_file.h"
#include "package/part_files.h"

namespace mw::package {
namespace fs = std::filesystem;
namespace {

constexpr const char* kMetaFile = "meta.yaml";
constexpr const char* kPartsKey = "millwright_parts";

PartList listed_parts(const fs::path& path) {
  const std::string name = path.filename().string();
  const auto json = parse_json_file(path);
  if (!json || !json->is_object() || !json->contains(kPartsKey) || !(*json)[kPartsKey].is_array()) {
    fail(ErrorCode::kInvalidModel, "{}: expected an object with a list '{}', got something else",
         name, kPartsKey);
  }
  const PartFolder folder(path.parent_path(), name);
  PartList list{.folder = folder.path(), .described_by = name};
  for (const auto& part : (*json)[kPartsKey]) {
    if (!part.is_string()) {
      fail(ErrorCode::kInvalidModel, "{}: expected names of parts, got {}", name, part.dump());
    }
    const std::string label = fmt::format("part_{:02}", list.files.size() + 1);
    list.files.push_back(folder.part(kPartsKey, part.get<std::string>(), label));
  }
  return list;
}

// The parts of one kind that a folder has, by name without the form.
using Candidates = std::map<std::string, std::string>;

class NamedParts {
 public:
  explicit NamedParts(const fs::path& folder) : folder_(folder, "") {
    for (const auto& entry : fs::directory_iterator(folder)) {
      const std::string name = entry.path().filename().string();
      const std::string stem = part_stem(name);
      if (stem == name || !entry.is_directory()) continue;
      if (const ChunkName chunk = chunk_name(stem); chunk.number > 0) {
        if (!ends_in(chunk.stem, "_FFN_PF")) continue;
        counts_.insert(chunk.count);
        add(chunks_[chunk.number], stem, name);
      } else if (ends_in(stem, "_embeddings")) {
        add(embeddings_, stem, name);
      } else if (ends_in(stem, "_lm_head")) {
        add(heads_, stem, name);
      }
    }
  }

  [[nodiscard]] bool any() const {
    return !chunks_.empty() || (!embeddings_.empty() && !heads_.empty());
  }

  [[nodiscard]] PartList list() const {
    PartList list{.folder = folder_.path()};
    list.files.push_back(only(embeddings_, "{prefix}_embeddings", "embeddings"));
    if (counts_.size() > 1) {
      fail(ErrorCode::kInvalidModel,
           "expected chunks of one model, got chunks of {} and of {}; take one model's out of the "
           "folder",
           *counts_.begin(), *counts_.rbegin());
    }
    const int64_t count = counts_.empty() ? 1 : *counts_.begin();
    const int64_t last = chunks_.empty() ? 1 : chunks_.rbegin()->first;
    for (int64_t i = 1; i <= std::max(count, last); ++i) {
      if (i > count) {
        fail(ErrorCode::kInvalidModel, "expected chunks 1 to {}, got one of number {}", count, i);
      }
      const auto found = chunks_.find(i);
      list.files.push_back(only(found == chunks_.end() ? Candidates() : found->second,
                                chunk_stem("{prefix}_FFN_PF", i, count),
                                fmt::format("chunk_{:02}", i)));
    }
    list.files.push_back(only(heads_, "{prefix}_lm_head", "lm_head"));
    return list;
  }

 private:
  static bool ends_in(const std::string& stem, std::string_view end) {
    return without_lut(stem).ends_with(end);
  }
  // What was compiled comes first: a folder often has both forms of a part.
  static void add(Candidates& candidates, const std::string& stem, const std::string& name) {
    std::string& known = candidates[stem];
    if (known.empty() || name.ends_with(".mlmodelc")) known = name;
  }

  [[nodiscard]] PartFile only(const Candidates& candidates, const std::string& pattern,
                              const std::string& label) const {
    if (candidates.empty()) {
      fail(ErrorCode::kInvalidModel,
           "expected the part {}.mlmodelc or .mlpackage in the folder, found none; was it copied "
           "whole?",
           pattern);
    }
    if (candidates.size() > 1) {
      fail(ErrorCode::kInvalidModel,
           "expected one part {}, got {} and {}; take one of them out of the folder", pattern,
           candidates.begin()->second, std::next(candidates.begin())->second);
    }
    return *folder_.find(candidates.begin()->second, label);
  }

  PartFolder folder_;
  Candidates embeddings_, heads_;
  std::map<int64_t, Candidates> chunks_;
  std::set<int64_t> counts_;
};

std::optional<PartList> in_folder(const fs::path& folder) {
  if (is_file(folder / kPartsFile)) return listed_parts(folder / kPartsFile);
  if (is_file(folder / kMetaFile)) return anemll_parts(folder / kMetaFile);
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const bool may_be = entry.path().extension() == ".json" && is_file(entry.path());
    if (may_be && entry.path().filename() != "tokenizer.json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::optional<PartList> found;
  for (const fs::path& file : files) {
    auto list = candle_parts(file);
    if (list && found) {
      fail(ErrorCode::kInvalidModel,
           "expected one file that names the parts, got {} and {}; name the one that is meant",
           found->described_by, list->described_by);
    }
    if (list) found = std::move(list);
  }
  if (found) return found;
  if (const NamedParts parts(folder); parts.any()) return parts.list();
  return std::nullopt;
}

std::optional<PartList> in_file(const fs::path& path) {
  if (path.extension() == ".yaml" || path.extension() == ".yml") return anemll_parts(path);
  if (path.extension() != ".json") return std::nullopt;
  return path.filename() == kPartsFile ? listed_parts(path) : candle_parts(path);
}

void expect_each_once(const PartList& list, ErrorCode code) {
  std::map<std::pair<fs::path, std::string>, std::string> seen;
  for (const PartFile& file : list.files) {
    const auto [known, fresh] =
        seen.emplace(std::pair(without_links(file.path), file.function), file.label);
    if (fresh) continue;
    fail(code, "expected each part once, got {} twice, as {} and as {}", file.name, known->second,
         file.label);
  }
}

}  // namespace

std::optional<PartList> parts_at(const fs::path& path) {
  std::optional<PartList> list;
  if (is_folder(path)) {
    const fs::path folder = path.has_filename() ? path : path.parent_path();
    if (!container_in(folder)) list = in_folder(folder);
  } else if (is_file(path)) {
    list = in_file(path);
  }
  if (list) expect_each_once(*list, ErrorCode::kInvalidModel);
  if (list && list->files.empty()) {
    fail(ErrorCode::kInvalidModel, "{}: expected parts, got none", list->described_by);
  }
  return list;
}

bool holds_parts(const fs::path& path) {
  try {
    return parts_at(path).has_value();
  } catch (const Error&) {
    return true;
  } catch (const fs::filesystem_error&) {
    return false;
  }
}

PartList parts_in_order(const std::vector<fs::path>& paths) {
  if (paths.size() < 2) {
    fail(ErrorCode::kInvalidArgument, "expected two parts or more to link, got {}", paths.size());
  }
  PartList list{.owns_folder = false};
  std::set<std::string> names;
  for (const fs::path& given : paths) {
    const fs::path path = given.has_filename() ? given : given.parent_path();
    const std::string label = fmt::format("part_{:02}", list.files.size() + 1);
    std::string name = path.filename().string();
    if (!names.insert(name).second) name = fmt::format("{}_{}", label, name);
    list.files.push_back({path, name, label, ""});
  }
  list.folder = list.files[0].path.parent_path();
  if (list.folder.empty()) list.folder = ".";
  expect_each_once(list, ErrorCode::kInvalidArgument);
  return list;
}

std::string parts_json_text(const PartList& list) {
  nlohmann::json names = nlohmann::json::array();
  for (const PartFile& file : list.files) names.push_back(file.name);
  return nlohmann::json{{kPartsKey, names}}.dump(1) + "\n";
}

}  // namespace mw::package
