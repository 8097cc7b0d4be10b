// The files of a tokenizer: where tokenizer.json lies, and what the files beside it say about the
// end of a text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace mw::text {

// The file that Tokenizer::find() opens; throws io with every place it looked at.
std::filesystem::path find_tokenizer_file(const std::filesystem::path& model,
                                          const std::filesystem::path& named);

// The object in a JSON file beside a tokenizer; throws invalid_model when it holds none.
nlohmann::json read_config(const std::filesystem::path& path);

struct EndOfText {
  std::vector<std::string> tokens;
  std::vector<int64_t> ids;
};

// What tokenizer_config.json, generation_config.json and special_tokens_map.json in `folder` name
// as the end of a text; empty where they are absent. Throws invalid_model for a broken one.
EndOfText end_of_text_in(const std::filesystem::path& folder);

// Tokens by which known models end a text or a turn.
const std::vector<std::string>& well_known_end_of_text();

}  // namespace mw::text
