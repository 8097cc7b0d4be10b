// Tests of ending a text before others that come in pieces.
#include "lm/stop_texts.h"

#include <gtest/gtest.h>

#include <random>

namespace mw::lm {
namespace {

struct Ended {
  std::string text;
  std::optional<std::string> by;
  friend bool operator==(const Ended&, const Ended&) = default;
};

Ended ended(const std::vector<std::string>& stops, const std::vector<std::string>& pieces) {
  StopTexts texts(stops);
  Ended end;
  for (const std::string& piece : pieces) {
    end.text += texts.push(piece);
    for (const std::string& stop : stops) EXPECT_EQ(end.text.find(stop), std::string::npos);
  }
  end.text += texts.flush();
  end.by = texts.found();
  return end;
}

// The place where a stop text is complete first, looked for anew at each byte.
Ended naive(const std::vector<std::string>& stops, const std::string& text) {
  for (size_t end = 1; end <= text.size(); ++end) {
    const std::string* longest = nullptr;
    for (const std::string& stop : stops) {
      const bool is_there = std::string_view(text).substr(0, end).ends_with(stop);
      if (is_there && (longest == nullptr || stop.size() > longest->size())) longest = &stop;
    }
    if (longest != nullptr) return {text.substr(0, end - longest->size()), *longest};
  }
  return {text, std::nullopt};
}

TEST(StopTexts, end_the_text_before_the_first_of_them) {
  EXPECT_EQ(ended({"\nUser:", "END"}, {"yes\nUs", "er: no"}), (Ended{"yes", "\nUser:"}));
  EXPECT_EQ(ended({"END", "ND"}, {"the E", "ND"}), (Ended{"the ", "END"})) << "the longer one";
  EXPECT_EQ(ended({"aab"}, {"a", "a", "a", "b"}), (Ended{"a", "aab"}));
  EXPECT_EQ(ended({}, {"all", " of it"}), (Ended{"all of it", std::nullopt}));
  EXPECT_EQ(ended({"END"}, {"", "not the EN"}), (Ended{"not the EN", std::nullopt}));
  EXPECT_EQ(ended({"\u00e9t\u00e9"}, {"l'\u00e9", "t", "\u00e9 !"}),
            (Ended{"l'", "\u00e9t\u00e9"}));
}

TEST(StopTexts, hold_back_no_more_than_could_be_the_beginning_of_one) {
  StopTexts texts({"abcx", "bcd"});
  EXPECT_EQ(texts.push("zabc"), "z");
  EXPECT_EQ(texts.push("y"), "abcy");
  EXPECT_EQ(texts.push("ab"), "");
  EXPECT_EQ(texts.push("c"), "");
  EXPECT_EQ(texts.push("d"), "a");
  EXPECT_EQ(texts.found(), "bcd");
  EXPECT_EQ(texts.push("more"), "");
  EXPECT_EQ(texts.flush(), "");
}

TEST(StopTexts, are_found_wherever_pieces_end) {
  std::mt19937 random(5);
  const auto some = [&](size_t length) {
    std::string text;
    for (size_t i = 0; i < length; ++i) text += "ab"[random() % 2];
    return text;
  };
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::string> stops;
    for (size_t i = random() % 4; i > 0; --i) stops.push_back(some(1 + random() % 6));
    const std::string text = some(random() % 30);
    std::vector<std::string> pieces;
    for (size_t at = 0; at < text.size();) {
      pieces.push_back(text.substr(at, random() % 5));
      at += pieces.back().size();
    }
    EXPECT_EQ(ended(stops, pieces), naive(stops, text)) << text;
  }
}

}  // namespace
}  // namespace mw::lm
