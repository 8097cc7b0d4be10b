// Names of parts, written in a file of their folder, as files of that folder.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "package/parts.h"

namespace mw::package {

// What is left of a part's name without `.mlmodelc` or `.mlpackage`.
std::string part_stem(std::string_view name);
// Without the suffix `_lutN`, which a converter leaves out of a part that has no palettes.
std::string without_lut(std::string_view stem);
// "x_FFN_PF_lut4_chunk_01of02" as "x_FFN_PF_lut4", 1, 2; number 0 where it is no chunk.
struct ChunkName {
  std::string stem;
  int64_t number = 0, count = 0;
};
ChunkName chunk_name(std::string_view stem);
std::string chunk_stem(std::string_view stem, int64_t number, int64_t count);

class PartFolder {
 public:
  // `described_by` is the file that names the parts.
  PartFolder(std::filesystem::path folder, std::string described_by);

  [[nodiscard]] const std::filesystem::path& path() const { return folder_; }
  // The part of that name: as it is named, in the other form, or without `_lutN`. `key` is what the
  // file calls it. Throws invalid_model where the name leads out of the folder or nothing is there.
  [[nodiscard]] PartFile part(const std::string& key, const std::string& name,
                              const std::string& label) const;
  // Nothing where no such part is there.
  [[nodiscard]] std::optional<PartFile> find(const std::string& name,
                                             const std::string& label) const;

 private:
  std::filesystem::path folder_;
  std::string described_by_;
};

// Throws invalid_model: `text` of a file is not a whole number above 0.
int64_t whole_number(const std::string& file, const std::string& key, const std::string& text);

PartList anemll_parts(const std::filesystem::path& meta_yaml);
// Nullopt for JSON of another kind.
std::optional<PartList> candle_parts(const std::filesystem::path& json);

}  // namespace mw::package
