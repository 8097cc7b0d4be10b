// A model in parts: files of one folder, each a model of its own, that one after another make one.
//
//   embeddings -> chunk 1 -> chunk 2 -> head        (each chunk with functions infer and prefill)
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace mw::package {

struct PartFile {
  std::filesystem::path path;  // a .mlmodelc or .mlpackage
  std::string name;            // its path in the folder
  std::string label;           // "chunk_01"
  // The function of the whole that it belongs to alone; empty: to each one.
  std::string function;
};

// What a folder says of its parts; what it leaves open is not checked.
struct PartClaims {
  std::optional<int64_t> context_length, batch_size, hidden_size, vocab_size, split_head;
};

struct PartList {
  std::filesystem::path folder;
  std::string described_by;  // the file in it that names the parts; empty: their own names do
  std::vector<PartFile> files;
  PartClaims claims;
  // Whether the folder is the model, so that all other files in it belong to the model.
  bool owns_folder = true;
};

// Of a folder: the parts that its `parts.json` names, or ANEMLL's `meta.yaml`, or a JSON file as
// candle-coreml has them, or the parts that are called {prefix}_embeddings,
// {prefix}_FFN_PF_chunk_KKofNN and {prefix}_lm_head. Of a file: those that it names, if it is one
// of these. Nothing where no parts are named. Throws invalid_model where a part is missing, is
// there twice, or lies outside the folder.
std::optional<PartList> parts_at(const std::filesystem::path& path);
// Whether parts_at() finds some, or throws.
bool holds_parts(const std::filesystem::path& path);

// The given parts, in this order. Throws invalid_argument for less than two, and for one twice.
PartList parts_in_order(const std::vector<std::filesystem::path>& paths);

inline constexpr const char* kPartsFile = "parts.json";
// What parts.json holds of a list.
std::string parts_json_text(const PartList& list);

}  // namespace mw::package
