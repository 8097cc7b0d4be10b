// Reading texts and conversations: cutting large texts, lines of JSON.
#include "train/data_text.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/mapped_file.h"
#include "train/data_chat.h"

namespace mw::training {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kPiece = size_t{1} << 20;
constexpr int kMaxDepth = 64;

std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// The next place at or after `from` behind a lone line break: a word on either side, so that what
// splits texts into words splits here, too.
size_t next_cut(std::string_view text, size_t from) {
  for (size_t at = text.find('\n', from); at != std::string_view::npos && at + 1 < text.size();
       at = text.find('\n', at + 1)) {
    if (at > 0 && !is_space(text[at - 1]) && !is_space(text[at + 1])) return at + 1;
  }
  return text.size();
}

// Do the tokens around a cut stay as they are when the text is cut there?
bool is_clean_cut(std::string_view text, size_t begin, size_t cut, const Tokenizer& tokenizer) {
  constexpr size_t kAround = 400;
  const size_t left = next_cut(text, cut - std::min(kAround, cut - begin));
  if (left >= cut) return false;
  const size_t right = next_cut(text, std::min(cut + kAround, text.size()));
  std::vector<int32_t> parts = tokenizer.encode(text.substr(left, cut - left), false);
  const std::vector<int32_t> rest = tokenizer.encode(text.substr(cut, right - cut), false);
  parts.insert(parts.end(), rest.begin(), rest.end());
  return parts == tokenizer.encode(text.substr(left, right - left), false);
}

void end_text(Example& example, const Tokenizer& tokenizer) {
  if (example.ids.empty() || tokenizer.end_of_text_ids().empty()) return;
  if (tokenizer.is_end_of_text(example.ids.back())) {
    example.learnt.back() = true;
    return;
  }
  example.ids.push_back(tokenizer.end_of_text_ids().front());
  example.learnt.push_back(true);
}

std::string member(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found != object.end() && found->is_string()) return found->get<std::string>();
  fail(ErrorCode::kInvalidArgument, "{}: expected a text, got {}", key,
       found == object.end() ? "none" : found->type_name());
}

// `line` with the two texts as messages where there is a chat template.
Example completion(const Json& line, const TextReader& reader) {
  const std::string prompt = member(line, "prompt"), answer = member(line, "completion");
  if (reader.chat != nullptr) {
    Json talk = line;
    talk.erase("prompt");
    talk.erase("completion");
    talk["messages"] = {{{"role", "user"}, {"content", prompt}},
                        {{"role", "assistant"}, {"content", answer}}};
    return conversation(talk, reader);
  }
  const std::string whole = prompt + answer;
  const size_t begin = reader.mask_prompt ? prompt.size() : 0;
  Example example = encode(whole, {{begin, whole.size()}}, true, *reader.tokenizer);
  end_text(example, *reader.tokenizer);
  example.has_answer = true;
  return example;
}

std::string keys_of(const Json& object) {
  std::string keys;
  for (const auto& [key, value] : object.items()) keys += (keys.empty() ? "" : ", ") + key;
  return keys.empty() ? "none" : keys;
}

Example example_of(std::string_view line, const TextReader& reader) {
  const auto shallow = [](int depth, Json::parse_event_t, const Json&) {
    if (depth > kMaxDepth) {
      fail(ErrorCode::kInvalidArgument, "expected at most {} levels of nesting, got more",
           kMaxDepth);
    }
    return true;
  };
  Json json = Json::parse(line.begin(), line.end(), shallow, false);
  if (!json.is_object()) {
    fail(ErrorCode::kInvalidArgument, "expected a JSON object, got {}",
         json.is_discarded() ? "broken JSON" : json.type_name());
  }
  for (const auto& [key, name] : reader.keys) {
    const auto found = json.find(name);
    if (found == json.end()) continue;
    const Json value = *found;
    json.erase(name);
    json[key] = value;
  }
  if (json.contains("messages")) return conversation(json, reader);
  if (json.contains("prompt")) return completion(json, reader);
  if (!json.contains("text")) {
    fail(ErrorCode::kInvalidArgument,
         "expected text, prompt and completion, or messages, got keys: {}", keys_of(json));
  }
  Example example;
  example.ids = reader.tokenizer->encode(member(json, "text"));
  example.learnt.assign(example.ids.size(), true);
  end_text(example, *reader.tokenizer);
  return example;
}

void append(TokenStream& stream, Example& example) {
  stream.starts.push_back(static_cast<int64_t>(stream.ids.size()));
  stream.whole_examples |= example.has_answer;
  stream.ids.insert(stream.ids.end(), example.ids.begin(), example.ids.end());
  stream.learnt.insert(stream.learnt.end(), example.learnt.begin(), example.learnt.end());
}

}  // namespace

TokenStream read_text(const std::filesystem::path& path, const TextReader& reader) {
  const auto file = MappedFile::open(path);
  const std::string_view text = text_of(*file);
  TokenStream stream;
  bool clean = true;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = text.size();
    if (clean && text.size() - begin > kPiece) {
      end = next_cut(text, begin + kPiece);
      clean = end == text.size() || is_clean_cut(text, begin, end, *reader.tokenizer);
      if (!clean) end = text.size();
    }
    // A copy: the mapped bytes may change, and a tokenizer must not meet that.
    const std::string piece(text.substr(begin, end - begin));
    file->check_intact();
    const auto ids = in_context(
        [&] {
          return begin == 0 ? path.string() : fmt::format("{}: byte {}", path.string(), begin);
        },
        [&] { return reader.tokenizer->encode(piece, false); });
    stream.ids.insert(stream.ids.end(), ids.begin(), ids.end());
    begin = end;
    reader.progress(static_cast<int64_t>(begin), static_cast<int64_t>(text.size()));
  }
  stream.learnt.assign(stream.ids.size(), true);
  return stream;
}

TokenStream read_jsonl(const std::filesystem::path& path, const TextReader& reader) {
  const auto file = MappedFile::open(path);
  const std::string_view text = text_of(*file);
  TokenStream stream;
  int64_t number = 0;
  size_t begin = text.starts_with("\xEF\xBB\xBF") ? 3 : 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line(text.substr(begin, end - begin));
    begin = end + 1;
    ++number;
    if (std::all_of(line.begin(), line.end(), is_space)) continue;
    in_context([&] { return fmt::format("{}:{}", path.string(), number); },
               [&] {
                 Example example = example_of(line, reader);
                 append(stream, example);
               });
    reader.progress(static_cast<int64_t>(end), static_cast<int64_t>(text.size()));
  }
  file->check_intact();
  if (stream.starts.empty()) {
    fail(ErrorCode::kInvalidArgument, "{}: expected at least one line, got none", path.string());
  }
  // What begins an example cannot be told from the example before it in its window.
  if (stream.whole_examples) {
    for (const int64_t start : stream.starts) {
      if (static_cast<size_t>(start) < stream.learnt.size()) {
        stream.learnt[static_cast<size_t>(start)] = false;
      }
    }
  }
  return stream;
}

TokenStream read_tokens(const std::filesystem::path& path, const TextReader& reader) {
  return path.extension() == ".jsonl" ? read_jsonl(path, reader) : read_text(path, reader);
}

}  // namespace mw::training
