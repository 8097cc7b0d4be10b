// Telling the model's own files from others, and linking or copying the others.
#include "package/extras.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <system_error>

#include "base/error.h"
#include "base/output_file.h"
#include "package/blob.h"
#include "package/container.h"
#include "package/enclosure.h"
#include "package/json_file.h"
#include "package/manifest.h"
#include "package/parts.h"

namespace mw::package {
namespace fs = std::filesystem;
namespace {

constexpr auto kOwnFiles = std::to_array<std::string_view>(
    {"Manifest.json", "model.mil", "coremldata.bin", "metadata.json", "model.espresso.net",
     "model.espresso.shape", "model.espresso.weights", "analytics/coremldata.bin",
     "neural_network_optionals/coremldata.bin"});

bool is_own_name(const fs::path& relative) {
  return std::find(kOwnFiles.begin(), kOwnFiles.end(), relative.string()) != kOwnFiles.end();
}

bool is_model(const fs::path& folder) {
  const auto container = container_in(folder);
  if (container != Container::kMlpackage) return container.has_value();
  const auto manifest = parse_json_file(folder / "Manifest.json");
  return manifest && manifest->is_object() && manifest->contains("rootModelIdentifier") &&
         manifest->contains("itemInfoEntries");
}

bool is_link(const fs::path& path) {
  std::error_code ignored;
  return fs::is_symlink(path, ignored);
}

bool is_regular(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

bool same_content(const fs::path& a, const fs::path& b) {
  if (!is_regular(a) || !is_regular(b)) return false;
  const auto left = MappedFile::open(a), right = MappedFile::open(b);
  return std::ranges::equal(left->bytes(), right->bytes());
}

void copy_bytes(const fs::path& from, const fs::path& to) {
  const auto file = MappedFile::open(from);
  OutputFile out(to);
  out.write(file->bytes());
  out.close();
  file->check_intact();
}

// A second name costs no copy, and what is written to the file meanwhile is not lost.
void link_or_copy(const fs::path& from, const fs::path& to) {
  if (::link(from.c_str(), to.c_str()) == 0) return;
  const int reason = errno;
  if (reason == ENOSPC || reason == EDQUOT || reason == EROFS || reason == EIO) {
    fail_io(from, "keep", reason);
  }
  if (is_link(from)) return fs::copy_symlink(from, to);
  if (!is_regular(from)) fail_io(from, "keep", reason);
  copy_bytes(from, to);
  fs::permissions(to, fs::status(from).permissions());
}

[[noreturn]] void refuse_conflict(const fs::path& path) {
  fail(ErrorCode::kInvalidArgument,
       "{}: expected the content of the file that comes with the model, got another; remove one of "
       "the two or write to another place",
       path.string());
}

struct Extra {
  std::string name;
  bool leads_out;  // a symbolic link
};

std::vector<Extra> extras_of(const fs::path& source) {
  std::vector<Extra> extras;
  std::error_code error;
  if (!fs::is_directory(source, error)) return extras;
  const Enclosure model(source);
  for (const auto& entry : fs::directory_iterator(source)) {
    const std::string name = entry.path().filename().string();
    if (is_own_name(name) || name.starts_with('.') || fs::is_directory(entry.path(), error)) {
      continue;
    }
    const bool leads_out = is_link(entry.path()) && !model.holds(entry.path());
    if (leads_out || is_regular(entry.path())) extras.push_back({name, leads_out});
  }
  std::sort(extras.begin(), extras.end(), [](auto& a, auto& b) { return a.name < b.name; });
  return extras;
}

// What an old model folder consists of.
class OwnFiles {
 public:
  OwnFiles(const fs::path& folder, const std::vector<std::shared_ptr<const MappedFile>>& weights)
      : folder_(folder), weight_folders_{"weights", "Data/com.apple.CoreML/weights"} {
    for (const auto& file : weights) files_.insert(without_links(file->path()));
    if (container_in(folder) != Container::kMlpackage) return;
    files_.insert(without_links(folder / "Data/com.apple.CoreML/model.mlmodel"));
    try {
      const Manifest manifest = read_manifest(folder);
      files_.insert(without_links(manifest.spec));
      for (const fs::path& item : manifest.items) {
        weight_folders_.insert(item.lexically_relative(folder));
      }
    } catch (const Error& e) {
      // A broken package may be replaced; then all but the usual names stay.
      if (e.code() != ErrorCode::kInvalidModel) throw;
    }
  }

  [[nodiscard]] bool holds(const fs::path& relative) const {
    if (is_own_name(relative) || files_.count(without_links(folder_ / relative)) > 0) return true;
    const bool is_place_of_weights = std::any_of(
        weight_folders_.begin(), weight_folders_.end(), [&](const fs::path& weight_folder) {
          return relative == weight_folder || lies_in(relative, weight_folder);
        });
    return is_place_of_weights && is_weight_file(folder_ / relative);
  }

 private:
  static bool is_weight_file(const fs::path& path) {
    if (path.extension() == ".bin") return true;
    if (!is_regular(path)) return false;
    try {
      (void)BlobFile::open(path);
      return true;
    } catch (const Error& e) {
      if (e.code() != ErrorCode::kInvalidModel) throw;
      return false;
    }
  }

  fs::path folder_;
  std::set<fs::path> files_;           // without links
  std::set<fs::path> weight_folders_;  // relative
};

class Keeper {
 public:
  using IsOwn = std::function<bool(const fs::path& relative)>;  // of the old model

  Keeper(const fs::path& old, const fs::path& folder, IsOwn is_own)
      : old_(old), folder_(folder), is_own_(std::move(is_own)) {}

  void keep(const fs::path& relative) const {
    for (const auto& entry : fs::directory_iterator(old_ / relative)) {
      const fs::path at = relative / entry.path().filename();
      if (entry.is_directory() && !entry.is_symlink()) {
        if (fs::is_empty(entry.path())) make(at);
        keep(at);
        if (fs::is_directory(folder_ / at)) {
          fs::permissions(folder_ / at, entry.status().permissions());
        }
      } else if (!is_own_(at)) {
        keep_file(at);
      }
    }
  }

 private:
  void make(const fs::path& relative) const {
    std::error_code error;
    fs::create_directories(folder_ / relative, error);
    if (error || is_link(folder_ / relative)) refuse_conflict(old_ / relative);
  }

  void keep_file(const fs::path& relative) const {
    const fs::path from = old_ / relative, to = folder_ / relative;
    if (fs::exists(fs::symlink_status(to))) {
      if (!same_content(from, to)) refuse_conflict(from);
      fs::remove(to);
    }
    make(relative.parent_path());
    link_or_copy(from, to);
  }

  fs::path old_, folder_;
  IsOwn is_own_;
};

}  // namespace

void expect_replaceable(const fs::path& target, Container container) {
  const fs::file_status status = fs::status(target);
  if (!fs::exists(status)) {
    if (container == Container::kMlmodel || !fs::is_symlink(fs::symlink_status(target))) return;
    fail(ErrorCode::kIo, "expected a folder to replace, got a link to nothing; remove it first");
  }
  if (container == Container::kMlmodel) {
    if (!fs::is_regular_file(status)) {
      fail(ErrorCode::kIo, "expected a file to replace, got something else");
    }
    return;
  }
  if (!fs::is_directory(status)) {
    fail(ErrorCode::kIo, "expected a folder to replace, got a file; remove it first");
  }
  if (!fs::is_empty(target) && !is_model(target)) {
    fail(ErrorCode::kIo,
         "expected a Core ML model to replace, got a folder of other files; remove it first");
  }
}

void expect_replaceable_parts(const fs::path& target) {
  const fs::file_status status = fs::status(target);
  if (!fs::exists(status)) {
    if (!fs::is_symlink(fs::symlink_status(target))) return;
    fail(ErrorCode::kIo, "expected a folder to replace, got a link to nothing; remove it first");
  }
  if (fs::is_directory(status) && (fs::is_empty(target) || holds_parts(target))) return;
  fail(ErrorCode::kIo,
       "expected a model in parts to replace, got {}; remove it first, or name a path that ends in "
       ".mlpackage, .mlmodelc or .mlmodel",
       fs::is_directory(status) ? "a folder of other files" : "a file");
}

void expect_no_conflict(const fs::path& source, const fs::path& target) {
  std::error_code error;
  if (!fs::is_directory(target, error) || fs::equivalent(source, target, error)) return;
  for (const Extra& extra : extras_of(source)) {
    const fs::path there = target / extra.name;
    if (extra.leads_out || !fs::exists(fs::symlink_status(there, error))) continue;
    if (!same_content(source / extra.name, there)) refuse_conflict(there);
  }
}

bool is_of_tokenizer(const std::string& name) {
  constexpr auto kNames = std::to_array<std::string_view>(
      {"config.json", "generation_config.json", "special_tokens_map.json", "chat_template.jinja",
       "chat_template.json"});
  return name.starts_with("tokenizer") ||
         std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

std::vector<std::string> copy_extras(const fs::path& source, const fs::path& folder,
                                     const std::function<bool(const std::string&)>& wanted) {
  std::vector<std::string> notes;
  for (const auto& [name, leads_out] : extras_of(source)) {
    if (!wanted(name)) continue;
    if (!leads_out) {
      copy_bytes(source / name, folder / name);
      continue;
    }
    notes.push_back(fmt::format("{}: not copied, since this symbolic link leads out of the model",
                                (source / name).string()));
  }
  return notes;
}

void keep_others(const fs::path& old, const fs::path& folder,
                 const std::vector<std::shared_ptr<const MappedFile>>& weights) {
  const OwnFiles own(old, weights);
  Keeper(old, folder, [&](const fs::path& at) { return own.holds(at); }).keep("");
}

void keep_others(const fs::path& old, const fs::path& folder,
                 const std::vector<std::shared_ptr<const MappedFile>>& weights,
                 const std::vector<fs::path>& parts) {
  std::vector<std::pair<fs::path, OwnFiles>> own;
  for (const fs::path& part : parts) {
    if (fs::is_directory(old / part)) own.emplace_back(part, OwnFiles(old / part, weights));
  }
  const auto is_own = [&](const fs::path& at) {
    return at == kPartsFile || std::any_of(own.begin(), own.end(), [&](const auto& row) {
             return lies_in(at, row.first) && row.second.holds(at.lexically_relative(row.first));
           });
  };
  Keeper(old, folder, is_own).keep("");
}

}  // namespace mw::package
