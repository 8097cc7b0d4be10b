// ChatTemplate: a conversation as the one text that a model was trained to read.
//
//   const auto chat = text::ChatTemplate::find(folder_of_the_tokenizer);
//   const Json talk = Json::parse(R"({"messages": [{"role": "user", "content": "hello"}]})");
//   chat->render(talk, true).text;
//   // "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mw::text {

// Renders as Hugging Face's transformers does; docs/training.md says what the template sees.
class ChatTemplate {
 public:
  struct Rendering {
    std::string text;
    // The bytes inside {% generation %} blocks; nothing when such a block stood where its place in
    // the text is not known: in a macro or a {% set %} block.
    std::optional<std::vector<std::pair<size_t, size_t>>> generated;
  };

  // Of the folder: chat_template.jinja (and chat_templates/*.jinja by their names), else
  // `chat_template` of tokenizer_config.json, else of chat_template.json; nothing where there is
  // none. Throws invalid_model for a broken file.
  static std::optional<ChatTemplate> find(const std::filesystem::path& folder);

  // Of a file: JSON that holds `chat_template`, else the template itself. The special tokens are
  // those that the configuration in `folder` states.
  static ChatTemplate from_file(const std::filesystem::path& file,
                                const std::filesystem::path& folder);
  static int64_t local_seconds();  // of the local clock, since 1970

  // `line`: an object with `messages`; its other members (`tools`, `documents`, ...) are variables
  // of the template. With `open_answer` the text ends where the assistant's next answer begins.
  // `now`: what strftime_now tells, in seconds of the local clock since 1970; else the clock says
  // so. Throws invalid_argument with the template's reason when it refuses the conversation.
  [[nodiscard]] Rendering render(const nlohmann::ordered_json& line, bool open_answer,
                                 std::optional<int64_t> now = {}) const;

 private:
  nlohmann::json read_tokens_of(const std::filesystem::path& folder);
  [[nodiscard]] const std::string& source_for(const nlohmann::ordered_json& line) const;

  std::string path_;
  std::map<std::string, std::string> sources_;  // by name; one alone is `default`
  std::map<std::string, std::string> tokens_;   // bos_token and its like, those that are stated
};

}  // namespace mw::text
