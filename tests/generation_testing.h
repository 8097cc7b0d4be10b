// What the tests of generation share: small models with a tokenizer, and what they must say.
#pragma once

#include "api/impl.h"
#include "facade_testing.h"
#include "language_model_testing.h"
#include "lm/generate.h"

namespace mw::suite {

using testing::error_of;

inline constexpr int64_t kVocabulary = 300;  // of tests/data/tokenizer/byte_level.json

// From its characters on.
inline std::string from_character(const std::string& text, size_t count) {
  size_t at = 0;
  const auto is_inside = [&] { return (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80; };
  for (; count > 0 && at < text.size(); --count) {
    do ++at;
    while (at < text.size() && is_inside());
  }
  return text.substr(at);
}

class Generating : public LanguageModels {
 protected:
  CoreMLModelWrapper with_tokenizer(SmallModel m, const std::string& name = "model",
                                    const std::string& tokenizer = "byte_level.json",
                                    int64_t vocabulary = kVocabulary) const {
    m.vocabulary = vocabulary;
    const auto path = folder_ / (name + ".mlpackage");
    write_small_model(path, m);
    LoadOptions options;
    options.tokenizer =
        std::filesystem::path(std::getenv("MW_TEST_DATA")) / "tokenizer" / tokenizer;
    return CoreMLModelWrapper::load(path, options);
  }
  static std::vector<double> logits_after(const std::vector<int32_t>& ids) {
    return expected_logits({.vocabulary = kVocabulary}, ids).back();
  }
  // The likeliest tokens one after the other, by the formula of the small models.
  static std::vector<int32_t> greedy(std::vector<int32_t> ids, int64_t count) {
    const size_t begin = ids.size();
    for (int64_t i = 0; i < count; ++i) {
      const std::vector<double> logits = logits_after(ids);
      ids.push_back(
          static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
    }
    return {ids.begin() + static_cast<int64_t>(begin), ids.end()};
  }
};

}  // namespace mw::suite
