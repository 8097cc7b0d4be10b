// A conversation as tokens: what the chat template makes of it, and which parts are answers.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "train/data_text.h"

namespace mw::training {

struct Example {
  std::vector<int32_t> ids;
  std::vector<bool> learnt;
  bool has_answer = false;
};

using Ranges = std::vector<std::pair<size_t, size_t>>;  // of bytes

// The tokens of `text`; learnt are those that overlap an answer.
Example encode(const std::string& text, const Ranges& answers, bool add_special,
               const Tokenizer& tokenizer);

// `line` has `messages`, and beside them what else the chat template reads. Answers are what stands
// in the template's {% generation %} blocks; where it has none, what the template adds for a
// message of the assistant behind the generation prompt. Throws invalid_argument where that cannot
// be told.
Example conversation(const nlohmann::ordered_json& line, const TextReader& reader);

}  // namespace mw::training
