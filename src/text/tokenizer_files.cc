// Locating tokenizer.json and reading eos_token from the small JSON files beside it.
#include "text/tokenizer_files.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <system_error>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/paths.h"

namespace mw::text {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kFileName = "tokenizer.json";
constexpr size_t kMaxConfigBytes = size_t{16} << 20;
// nlohmann frees nested values recursively; real files nest four deep.
constexpr int kMaxConfigDepth = 64;

// Where the system does not tell, the path is taken: opening it says why.
bool may_be_file(const fs::path& path) {
  std::error_code ignored;
  const fs::file_type type = fs::status(path, ignored).type();
  return type != fs::file_type::not_found && type != fs::file_type::directory;
}

// "a/b.mlmodelc/" and "." have no file name of their own.
fs::path without_trailing_slash(const fs::path& path) {
  if (path.has_filename() && path.filename() != "." && path.filename() != "..") return path;
  std::error_code ignored;
  const fs::path whole = fs::absolute(path, ignored).lexically_normal();
  return whole.has_filename() ? whole : whole.parent_path();
}

// eos_token is "</s>" or {"content": "</s>", ...}.
void read_token(const Json& json, const fs::path& path, EndOfText& into) {
  const auto found = json.find("eos_token");
  if (found == json.end() || found->is_null()) return;
  const Json* token = &*found;
  if (token->is_object()) {
    const auto content = token->find("content");
    if (content != token->end()) token = &*content;
  }
  if (!token->is_string()) {
    fail(ErrorCode::kInvalidModel,
         "{}: eos_token: expected a string or an object with content, got {}", path.string(),
         token->type_name());
  }
  into.tokens.push_back(token->get<std::string>());
}

// eos_token_id is 2 or [1, 107].
void read_ids(const Json& json, const fs::path& path, EndOfText& into) {
  const auto found = json.find("eos_token_id");
  if (found == json.end() || found->is_null()) return;
  const Json ids = found->is_array() ? *found : Json::array({*found});
  for (const Json& id : ids) {
    if (!id.is_number_integer()) {
      fail(ErrorCode::kInvalidModel,
           "{}: eos_token_id: expected an integer or a list of them, got {}", path.string(),
           id.type_name());
    }
    into.ids.push_back(id.get<int64_t>());
  }
}

}  // namespace

Json read_config(const fs::path& path) {
  const auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  if (bytes.size() > kMaxConfigBytes) {
    fail(ErrorCode::kInvalidModel, "{}: expected at most {} bytes, got {}", path.string(),
         kMaxConfigBytes, bytes.size());
  }
  const auto shallow = [&](int depth, Json::parse_event_t, const Json&) {
    if (depth > kMaxConfigDepth) {
      fail(ErrorCode::kInvalidModel, "{}: expected at most {} levels of nesting, got more",
           path.string(), kMaxConfigDepth);
    }
    return true;
  };
  const auto* begin = reinterpret_cast<const char*>(bytes.data());
  Json json = Json::parse(begin, begin + bytes.size(), shallow, /*allow_exceptions=*/false);
  file->check_intact();
  if (!json.is_object()) {
    fail(ErrorCode::kInvalidModel, "{}: expected a JSON object, got {}; mend or remove the file",
         path.string(), json.is_discarded() ? "broken JSON" : json.type_name());
  }
  return json;
}

fs::path find_tokenizer_file(const fs::path& model, const fs::path& named) {
  if (!named.empty()) {
    fs::path path = is_folder(named) ? named / kFileName : named;
    if (may_be_file(path)) return path;
    fail(ErrorCode::kIo, "{} '{}': expected a tokenizer file or a folder with {}, found no '{}'",
         setting("tokenizer"), named.string(), kFileName, path.string());
  }
  const fs::path whole = without_trailing_slash(model);
  std::string looked;
  const auto there = [&](const fs::path& path) {
    looked += fmt::format("{}'{}'", looked.empty() ? "" : ", ", path.string());
    return may_be_file(path);
  };
  if (is_folder(whole)) {
    if (fs::path inside = whole / kFileName; there(inside)) return inside;
  }
  if (fs::path beside = whole.parent_path() / kFileName; there(beside)) return beside;
  fail(ErrorCode::kIo,
       "'{}': tokenizer: expected a {} in the model's folder or beside it, found none (looked for "
       "{}); give the file as {}",
       model.string(), kFileName, looked, setting("tokenizer"));
}

EndOfText end_of_text_in(const fs::path& folder) {
  EndOfText found;
  for (const char* name :
       {"tokenizer_config.json", "generation_config.json", "special_tokens_map.json"}) {
    const fs::path path = folder / name;
    if (!may_be_file(path)) continue;
    const Json json = read_config(path);
    read_token(json, path, found);
    read_ids(json, path, found);
  }
  return found;
}

const std::vector<std::string>& well_known_end_of_text() {
  static const std::vector<std::string> kTokens = {
      "</s>",
      "<eos>",
      "<|endoftext|>",
      "<|end_of_text|>",
      "<|im_end|>",
      "<|eot_id|>",
      "<|eom_id|>",
      "<|end|>",
      "<|return|>",
      "<|EOT|>",
      "<|end_of_turn|>",
      "<end_of_turn>",
      "<|end_of_role|>",
      "<｜end▁of▁sentence｜>",
      "[EOS]",
  };
  return kTokens;
}

}  // namespace mw::text
