// ChatTemplate: a conversation as the one text that a model was trained to read.
//
//   const auto chat = text::ChatTemplate::find(folder_of_the_tokenizer);
//   chat->render(R"([{"role": "user", "content": "hello"}])", true);
//   // "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace mw::text {

class ChatTemplate {
 public:
  // `chat_template` of tokenizer_config.json in `folder` (of several, the one named `default`),
  // else chat_template.jinja; nothing where there is neither. Throws invalid_model for a broken
  // file.
  static std::optional<ChatTemplate> find(const std::filesystem::path& folder);

  // `messages`: a JSON list of objects with `role` and `content`. With `open_answer` the text ends
  // where the assistant's next answer begins. Throws invalid_argument with the template's reason
  // when it refuses the conversation.
  [[nodiscard]] std::string render(const std::string& messages, bool open_answer) const;

 private:
  std::string path_, source_;
  std::string begin_, end_;  // bos_token and eos_token, empty when not stated
};

}  // namespace mw::text
