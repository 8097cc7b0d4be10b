// Texts and conversations from files, as tokens.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "millwright/tokenizer.hpp"
#include "text/chat_template.h"
#include "train/data.h"

namespace mw::training {

struct TextReader {
  const Tokenizer* tokenizer = nullptr;
  const text::ChatTemplate* chat = nullptr;  // null: the model has none
  bool mask_prompt = true;                   // learn the answers alone
  // What lines call `text`, `prompt`, `completion` or `messages`, where they do otherwise.
  std::map<std::string, std::string> keys = {};
  // Called now and then with bytes read and bytes in all.
  std::function<void(int64_t, int64_t)> progress = [](int64_t, int64_t) {};
};

// A text as one string, encoded piece by piece where that gives the same tokens.
TokenStream read_text(const std::filesystem::path& path, const TextReader& reader);

// A JSON object a line: {"text"}, {"prompt", "completion"} or {"messages"}. Of the last two only
// answers are learnt, unless prompts are not masked; they go through the chat template, without one
// a prompt and its completion simply follow each other. Every text and completion ends with the
// end-of-text token, if there is one. The first broken line is the error, as FILE:LINE.
TokenStream read_jsonl(const std::filesystem::path& path, const TextReader& reader);

// By the extension: .jsonl, else a text.
TokenStream read_tokens(const std::filesystem::path& path, const TextReader& reader);

}  // namespace mw::training
