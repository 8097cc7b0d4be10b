// What the tests of chat templates share: JSON in order, and a template in a configuration.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "text/chat_template.h"
#include "text/test_support.h"

namespace mw::testing {

using OrderedJson = nlohmann::ordered_json;
using nlohmann::json;

inline std::filesystem::path chat_fixture(const std::string& name) {
  const char* data = std::getenv("MW_TEST_DATA");
  return std::filesystem::path(data == nullptr ? "tests/data" : data) / "chat" / name;
}

// The template that `config` holds, found in `folder`.
inline text::ChatTemplate with_config(const TempFolder& folder, const json& config) {
  write_file(folder.path() / "tokenizer_config.json", config.dump());
  const auto chat = text::ChatTemplate::find(folder.path());
  if (!chat) throw std::runtime_error("no template");
  return *chat;
}

// Of UTF-8.
inline size_t characters_in(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

}  // namespace mw::testing
