// ChatTemplate: finding the template, and rendering it with the library behind the C ABI.
#include "text/chat_template.h"

#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/paths.h"
#include "text/tokenizer_files.h"
#include "tokenizer_abi.h"

namespace mw::text {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

constexpr const char* kDefault = "default";
constexpr const char* kWithTools = "tool_use";

const uint8_t* data_of(const std::string& text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

std::string text_at(const Json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// Each special token that `config` states: "</s>" or {"content": "</s>", ...}.
void read_tokens(const Json& config, const fs::path& path,
                 std::map<std::string, std::string>& into) {
  for (const char* key : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token",
                          "cls_token", "mask_token"}) {
    const auto found = config.find(key);
    if (found == config.end() || found->is_null()) continue;
    const Json& token =
        found->is_object() && found->contains("content") ? (*found)["content"] : *found;
    if (!token.is_string()) {
      fail(ErrorCode::kInvalidModel, "{}: {}: expected a string or an object with content, got {}",
           path.string(), key, token.type_name());
    }
    into[key] = token.get<std::string>();
  }
}

// A template, or a list of {"name": ..., "template": ...}.
std::map<std::string, std::string> templates_in(const Json& config, const fs::path& path) {
  const auto found = config.find("chat_template");
  if (found == config.end() || found->is_null()) return {};
  if (found->is_string()) return {{kDefault, found->get<std::string>()}};
  std::map<std::string, std::string> named;
  if (found->is_array()) {
    for (const Json& row : *found) {
      if (!text_at(row, "name").empty()) named[text_at(row, "name")] = text_at(row, "template");
    }
  }
  if (!named.empty()) return named;
  fail(ErrorCode::kInvalidModel,
       "{}: chat_template: expected a text or a list of templates with names, got {}",
       path.string(), found->type_name());
}

std::string read_text(const fs::path& path) {
  const auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  file->check_intact();
  return text;
}

// chat_template.jinja, and chat_templates/*.jinja.
std::map<std::string, std::string> templates_beside(const fs::path& folder) {
  std::map<std::string, std::string> named;
  if (const fs::path alone = folder / "chat_template.jinja"; is_there(alone)) {
    named[kDefault] = read_text(alone);
  }
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder / "chat_templates", ignored)) {
    if (entry.path().extension() == ".jinja") {
      named[entry.path().stem().string()] = read_text(entry.path());
    }
  }
  return named;
}

// A message as the template sees it: without members that are null, and with its reasoning under
// both names that templates read.
OrderedJson prepared(const OrderedJson& message) {
  if (!message.is_object()) return message;
  OrderedJson seen = OrderedJson::object();
  for (const char* key : {"reasoning_content", "thinking", "reasoning"}) {
    const auto found = message.find(key);
    if (found == message.end() || found->is_null()) continue;
    seen["thinking"] = *found;
    break;
  }
  const OrderedJson reasoning = seen.contains("thinking") ? seen["thinking"] : OrderedJson();
  for (const auto& [key, value] : message.items()) {
    if (!value.is_null()) seen[key] = value;
  }
  if (!reasoning.is_null()) seen["reasoning_content"] = reasoning;
  return seen;
}

}  // namespace

int64_t ChatTemplate::local_seconds() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  return timegm(&parts);
}

// Returns tokenizer_config.json, empty where there is none.
nlohmann::json ChatTemplate::read_tokens_of(const fs::path& folder) {
  const fs::path config = folder / "tokenizer_config.json";
  const fs::path map = folder / "special_tokens_map.json";
  Json json = Json::object();
  if (is_there(config)) {
    json = read_config(config);
    read_tokens(json, config, tokens_);
  }
  // An older way to state them, which a config with all added tokens takes the place of.
  if (!json.contains("added_tokens_decoder") && is_there(map)) {
    read_tokens(read_config(map), map, tokens_);
  }
  return json;
}

std::optional<ChatTemplate> ChatTemplate::find(const fs::path& folder) {
  ChatTemplate chat;
  const Json json = chat.read_tokens_of(folder);
  const fs::path config = folder / "tokenizer_config.json";
  chat.path_ = (folder / "chat_template.jinja").string();
  chat.sources_ = templates_beside(folder);
  if (chat.sources_.empty()) {
    chat.path_ = config.string();
    chat.sources_ = templates_in(json, config);
  }
  if (const fs::path last = folder / "chat_template.json";
      chat.sources_.empty() && is_there(last)) {
    chat.path_ = last.string();
    chat.sources_ = templates_in(read_config(last), last);
  }
  if (chat.sources_.empty()) return std::nullopt;
  return chat;
}

ChatTemplate ChatTemplate::from_file(const fs::path& file, const fs::path& folder) {
  ChatTemplate chat;
  (void)chat.read_tokens_of(folder);
  chat.path_ = file.string();
  if (file.extension() != ".json") {
    chat.sources_[kDefault] = read_text(file);
    return chat;
  }
  chat.sources_ = templates_in(read_config(file), file);
  if (chat.sources_.empty()) {
    fail(ErrorCode::kInvalidModel, "{}: expected a member chat_template, got none", file.string());
  }
  return chat;
}

const std::string& ChatTemplate::source_for(const OrderedJson& line) const {
  const auto tools = line.find("tools");
  auto found = sources_.end();
  if (tools != line.end() && !tools->is_null()) found = sources_.find(kWithTools);
  if (found == sources_.end()) found = sources_.find(kDefault);
  if (found != sources_.end()) return found->second;
  std::string names;
  for (const auto& [name, source] : sources_) names += (names.empty() ? "" : ", ") + name;
  fail(ErrorCode::kInvalidModel, "{}: chat template: expected one named '{}', got {}", path_,
       kDefault, names);
}

ChatTemplate::Rendering ChatTemplate::render(const OrderedJson& line, bool open_answer,
                                             std::optional<int64_t> now) const {
  const auto messages = line.find("messages");
  if (messages == line.end() || !messages->is_array()) {
    fail(ErrorCode::kInvalidArgument, "messages: expected a JSON list, got {}",
         messages == line.end() ? "none" : messages->type_name());
  }
  OrderedJson variables = OrderedJson::object();
  for (const auto& [name, token] : tokens_) variables[name] = token;
  variables["tools"] = nullptr;
  variables["documents"] = nullptr;
  for (const auto& [name, value] : line.items()) variables[name] = value;
  if (const auto more = line.find("chat_template_kwargs"); more != line.end()) {
    for (const auto& [name, value] : more->items()) variables[name] = value;
  }
  variables["messages"] = OrderedJson::array();
  for (const OrderedJson& message : *messages) {
    variables["messages"].push_back(prepared(message));
  }
  variables["add_generation_prompt"] = open_answer;

  const std::string& source = source_for(line);
  const std::string json = variables.dump();
  MwTokRendering* made = nullptr;
  MwTokBytes error{nullptr, 0};
  const int32_t code =
      mw_tok_render_chat(data_of(source), source.size(), data_of(json), json.size(),
                         now.value_or(local_seconds()), &made, &error);
  if (code != kMwTokOk) {
    const std::string why(reinterpret_cast<const char*>(error.data), error.size);
    mw_tok_bytes_free(error);
    fail(code == kMwTokBadArgument ? ErrorCode::kInvalidArgument : ErrorCode::kInvalidModel,
         "{}: chat template: {}", path_, why);
  }
  const std::unique_ptr<MwTokRendering, decltype(&mw_tok_rendering_free)> rendering(
      made, mw_tok_rendering_free);
  size_t size = 0;
  const uint8_t* text = mw_tok_rendering_text(made, &size);
  Rendering result{{reinterpret_cast<const char*>(text), size}, std::nullopt};
  if (mw_tok_rendering_knows_generated(made)) {
    result.generated.emplace();
    MwTokRange range{};
    for (size_t i = 0; mw_tok_rendering_generated(made, i, &range); ++i) {
      result.generated->emplace_back(range.begin, range.end);
    }
  }
  return result;
}

}  // namespace mw::text
