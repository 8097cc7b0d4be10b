// Conversations: checking the messages, rendering them, and finding the answers in the text.
#include "train/data_chat.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"

namespace mw::training {
namespace {

using Json = nlohmann::ordered_json;

bool is_answer(const Json& message) { return message.at("role") == "assistant"; }

void check_message(const Json& message) {
  if (!message.is_object()) {
    fail(ErrorCode::kInvalidArgument, "messages: expected objects, got {}", message.type_name());
  }
  const auto role = message.find("role");
  if (role == message.end() || !role->is_string()) {
    fail(ErrorCode::kInvalidArgument, "messages: role: expected a text, got {}",
         role == message.end() ? "none" : role->type_name());
  }
  const auto content = message.find("content");
  if (content == message.end() || content->is_null() || content->is_string()) return;
  if (!content->is_array() && !content->is_object()) {
    fail(ErrorCode::kInvalidArgument,
         "messages: content: expected a text, null or a list of parts, got {}",
         content->type_name());
  }
}

void check_messages(const Json& messages, bool needs_answer) {
  if (!messages.is_array() || messages.empty()) {
    fail(ErrorCode::kInvalidArgument, "messages: expected a list of messages, got {}",
         messages.is_array() ? "none" : messages.type_name());
  }
  for (const Json& message : messages) check_message(message);
  if (needs_answer && std::none_of(messages.begin(), messages.end(), is_answer)) {
    fail(ErrorCode::kInvalidArgument, "messages: expected one with role assistant, got none");
  }
}

// The text of a message, without space around it; empty when it is in parts.
std::string_view text_of(const Json& message) {
  const auto content = message.find("content");
  if (content == message.end() || !content->is_string()) return "";
  std::string_view text = content->get_ref<const std::string&>();
  constexpr const char* kSpace = " \t\n\r\f\v";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return "";
  return text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin);
}

// Finds answers in what the template makes of the whole conversation by rendering its beginnings.
class Answers {
 public:
  Answers(const Json& line, std::string whole, const text::ChatTemplate& chat)
      : line_(line), messages_(line.at("messages")), whole_(std::move(whole)), chat_(chat) {}

  // Of the message at `index`; nothing where the template tells it in another way once other
  // messages follow.
  [[nodiscard]] std::optional<std::pair<size_t, size_t>> at(size_t index) const {
    const bool is_last = index + 1 == messages_.size();
    const std::string after = is_last ? whole_ : render(index + 1, false);
    if (!whole_.starts_with(after)) return std::nullopt;
    if (index == 0) return behind_header(index, "", std::nullopt, after);
    const std::string before = render(index, true);
    if (after == before) return std::nullopt;  // the template leaves the answer out
    if (after.starts_with(before)) return std::pair(before.size(), after.size());
    return behind_header(index, render(index, false), before, after);
  }

 private:
  [[nodiscard]] std::string render(size_t count, bool open) const {
    Json first = line_;
    first["messages"] = Json(messages_.begin(), messages_.begin() + static_cast<int64_t>(count));
    return chat_.render(first, open).text;
  }

  // Some generation prompts hold more than what stands before an answer that is given, such as the
  // beginning of a thought. What stands between the messages before and the answer's own text has
  // to be the beginning of that prompt, then; without a prompt the text has to occur only once.
  [[nodiscard]] std::optional<std::pair<size_t, size_t>> behind_header(
      size_t index, const std::string& messages_before, const std::optional<std::string>& prompt,
      const std::string& after) const {
    const std::string_view text = text_of(messages_[index]);
    if (text.empty() || !after.starts_with(messages_before)) return std::nullopt;
    size_t last = std::string::npos;
    if (prompt) {
      const auto [end, ignored] =
          std::mismatch(after.begin(), after.end(), prompt->begin(), prompt->end());
      last = static_cast<size_t>(end - after.begin());
    }
    const size_t begin = after.rfind(text, last);
    if (begin == std::string::npos || begin < messages_before.size()) return std::nullopt;
    if (!prompt && after.find(text) != begin) return std::nullopt;
    return std::pair(begin, after.size());
  }

  const Json& line_;
  const Json& messages_;
  std::string whole_;
  const text::ChatTemplate& chat_;
};

Ranges find_answers(const Json& line, const std::string& whole, const text::ChatTemplate& chat) {
  const Json& messages = line.at("messages");
  const Answers answers(line, whole, chat);
  Ranges found;
  for (size_t i = 0; i < messages.size(); ++i) {
    if (!is_answer(messages[i])) continue;
    const bool is_last =
        std::none_of(messages.begin() + static_cast<int64_t>(i) + 1, messages.end(), is_answer);
    const auto answer =
        in_context([&] { return fmt::format("messages[{}]", i); }, [&] { return answers.at(i); });
    if (answer) {
      found.push_back(*answer);
    } else if (is_last) {
      fail(ErrorCode::kInvalidArgument,
           "messages[{}]: the chat template's text for this answer cannot be told from what it "
           "puts around it; mark answers in the template with {{% generation %}}, or give prompt "
           "and completion without a template",
           i);
    }
  }
  return found;
}

}  // namespace

// A token belongs to an answer as soon as one of its bytes does.
Example encode(const std::string& text, const Ranges& answers, bool add_special,
               const Tokenizer& tokenizer) {
  Example example;
  for (const auto& piece : tokenizer.encode_pieces(text, add_special)) {
    example.ids.push_back(piece.id);
    example.learnt.push_back(std::any_of(answers.begin(), answers.end(), [&](const auto& range) {
      return piece.end > piece.begin && piece.end > range.first && piece.begin < range.second;
    }));
  }
  return example;
}

Example conversation(const Json& line, const TextReader& reader) {
  check_messages(line.at("messages"), reader.mask_prompt);
  if (reader.chat == nullptr) {
    fail(ErrorCode::kInvalidArgument,
         "messages: expected a chat template in tokenizer_config.json beside the tokenizer, found "
         "none; put it there, or give prompt and completion");
  }
  const auto rendering = reader.chat->render(line, false);
  if (!reader.mask_prompt) {
    Example whole = encode(rendering.text, {{0, rendering.text.size()}}, false, *reader.tokenizer);
    whole.has_answer = true;
    return whole;
  }
  if (!rendering.generated) {
    fail(ErrorCode::kInvalidArgument,
         "messages: the chat template has a {{% generation %}} block inside a macro or a "
         "{{% set %}} block, where its place in the text is not known");
  }
  Ranges answers = *rendering.generated;
  std::erase_if(answers, [](const auto& range) { return range.first == range.second; });
  if (answers.empty()) answers = find_answers(line, rendering.text, *reader.chat);
  Example example = encode(rendering.text, answers, false, *reader.tokenizer);
  example.has_answer = true;
  return example;
}

}  // namespace mw::training
