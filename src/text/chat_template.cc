// ChatTemplate: finding the template, and rendering it with the library behind the C ABI.
#include "text/chat_template.h"

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "text/tokenizer_files.h"
#include "tokenizer_abi.h"

namespace mw::text {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

struct Bytes {
  MwTokBytes bytes{nullptr, 0};
  ~Bytes() { mw_tok_bytes_free(bytes); }
  [[nodiscard]] std::string text() const {
    return {reinterpret_cast<const char*>(bytes.data), bytes.size};
  }
};

const uint8_t* data_of(const std::string& text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

std::string text_at(const Json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// "</s>" or {"content": "</s>", ...}; empty for anything else.
std::string token_of(const Json& config, const char* key) {
  const auto found = config.find(key);
  if (found == config.end()) return "";
  return found->is_string() ? found->get<std::string>() : text_at(*found, "content");
}

// A template, or a list of {"name": ..., "template": ...}.
std::string source_of(const Json& config, const fs::path& path) {
  const auto found = config.find("chat_template");
  if (found == config.end() || found->is_null()) return "";
  if (found->is_string()) return found->get<std::string>();
  if (found->is_array()) {
    for (const Json& row : *found) {
      if (text_at(row, "name") == "default") return text_at(row, "template");
    }
  }
  fail(ErrorCode::kInvalidModel,
       "{}: chat_template: expected a text or a list with one named "
       "'default', got {}",
       path.string(), found->type_name());
}

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(ErrorCode::kIo, "{}: cannot be read", path.string());
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

std::optional<ChatTemplate> ChatTemplate::find(const fs::path& folder) {
  ChatTemplate chat;
  std::error_code ignored;
  if (const fs::path config = folder / "tokenizer_config.json"; fs::exists(config, ignored)) {
    const Json json = read_config(config);
    chat.path_ = config.string();
    chat.source_ = source_of(json, config);
    chat.begin_ = token_of(json, "bos_token");
    chat.end_ = token_of(json, "eos_token");
  }
  if (const fs::path alone = folder / "chat_template.jinja";
      chat.source_.empty() && fs::exists(alone, ignored)) {
    chat.path_ = alone.string();
    chat.source_ = read_text(alone);
  }
  if (chat.source_.empty()) return std::nullopt;
  return chat;
}

std::string ChatTemplate::render(const std::string& messages, bool open_answer) const {
  const Json conversation = Json::parse(messages, nullptr, false);
  if (!conversation.is_array()) {
    fail(ErrorCode::kInvalidArgument, "messages: expected a JSON list, got {}",
         conversation.is_discarded() ? "broken JSON" : conversation.type_name());
  }
  const std::string variables = Json{
      {"messages", conversation},
      {"add_generation_prompt", open_answer},
      {"bos_token", begin_},
      {"eos_token", end_}}.dump();
  Bytes text, error;
  const int32_t code = mw_tok_render_chat(data_of(source_), source_.size(), data_of(variables),
                                          variables.size(), &text.bytes, &error.bytes);
  if (code == kMwTokOk) return text.text();
  fail(code == kMwTokBadArgument ? ErrorCode::kInvalidArgument : ErrorCode::kInvalidModel,
       "{}: chat template: {}", path_, error.text());
}

}  // namespace mw::text
