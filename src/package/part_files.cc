// Parts looked up in their folder, and nowhere else.
#include "package/part_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/paths.h"
#include "package/enclosure.h"
#include "package/weight_files.h"

namespace mw::package {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kForms[] = {".mlmodelc", ".mlpackage"};

bool all_digits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// What a name may mean: itself, in the other form, and both without its palettes' suffix.
std::vector<std::string> meanings(const std::string& name) {
  const std::string stem = part_stem(name);
  std::vector<std::string> forms;
  if (stem != name) forms.push_back(name.substr(stem.size()));
  for (const std::string_view form : kForms) {
    if (std::find(forms.begin(), forms.end(), form) == forms.end()) forms.emplace_back(form);
  }
  std::vector<std::string> names;
  names.reserve(2 * forms.size());
  for (const std::string& form : forms) names.push_back(stem + form);
  const std::string plain = without_lut(stem);
  if (plain == stem) return names;
  for (const std::string& form : forms) names.push_back(plain + form);
  return names;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : "/") + part;
  return text;
}

}  // namespace

std::string part_stem(std::string_view name) {
  for (const std::string_view form : kForms) {
    if (name.ends_with(form)) return std::string(name.substr(0, name.size() - form.size()));
  }
  return std::string(name);
}

std::string without_lut(std::string_view stem) {
  const ChunkName chunk = chunk_name(stem);
  if (chunk.number > 0) return chunk_stem(without_lut(chunk.stem), chunk.number, chunk.count);
  const size_t at = stem.rfind("_lut");
  if (at == std::string_view::npos || !all_digits(stem.substr(at + 4))) return std::string(stem);
  return std::string(stem.substr(0, at));
}

ChunkName chunk_name(std::string_view stem) {
  constexpr std::string_view kMark = "_chunk_";
  const size_t at = stem.rfind(kMark);
  if (at == std::string_view::npos) return {std::string(stem)};
  const std::string_view rest = stem.substr(at + kMark.size());
  if (rest.size() != 6 || rest.substr(2, 2) != "of" || !all_digits(rest.substr(0, 2)) ||
      !all_digits(rest.substr(4))) {
    return {std::string(stem)};
  }
  const auto number = [](std::string_view two) { return (two[0] - '0') * 10 + (two[1] - '0'); };
  return {std::string(stem.substr(0, at)), number(rest.substr(0, 2)), number(rest.substr(4))};
}

std::string chunk_stem(std::string_view stem, int64_t number, int64_t count) {
  return fmt::format("{}_chunk_{:02}of{:02}", stem, number, count);
}

PartFolder::PartFolder(fs::path folder, std::string described_by)
    : folder_(folder.empty() ? "." : std::move(folder)), described_by_(std::move(described_by)) {}

std::optional<PartFile> PartFolder::find(const std::string& name, const std::string& label) const {
  std::string local = name;
  if (fs::path(name).is_absolute()) {
    const fs::path plain = without_links(name), root = without_links(folder_);
    // A folder that was moved, or whose parts lie elsewhere: only what is in it is opened.
    local =
        lies_in(plain, root) ? plain.lexically_relative(root).string() : plain.filename().string();
  }
  const std::string inside = joined(safe_parts(local, 0));
  if (inside.empty()) return std::nullopt;
  for (const std::string& meaning : meanings(inside)) {
    if (!is_folder(folder_ / meaning)) continue;
    (void)Enclosure(folder_).inside(folder_ / meaning);
    return PartFile{folder_ / meaning, meaning, label, ""};
  }
  return std::nullopt;
}

PartFile PartFolder::part(const std::string& key, const std::string& name,
                          const std::string& label) const {
  return in_context(
      [&] { return fmt::format("{}: {}", described_by_, key); },
      [&] {
        if (const auto found = find(name, label)) return *found;
        const std::vector<std::string> names = meanings(name);
        fail(ErrorCode::kInvalidModel,
             "expected the part {}{} in the folder, found none; was it copied whole?", names[0],
             names.size() > 1
                 ? fmt::format(" (or {})", fmt::join(names.begin() + 1, names.end(), ", "))
                 : "");
      });
}

int64_t whole_number(const std::string& file, const std::string& key, const std::string& text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size() && number > 0 &&
      number < int64_t{1} << 31) {
    return number;
  }
  fail(ErrorCode::kInvalidModel, "{}: {}: expected a whole number above 0, got '{}'", file, key,
       text);
}

}  // namespace mw::package
