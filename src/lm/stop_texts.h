// StopTexts: ends a text before the first of several others that occurs in it.
//
//   lm::StopTexts stops({"\nUser:"});
//   print(stops.push(piece));           // never a part of a stop text
//   if (stops.found()) return;
//   print(stops.flush());
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mw::lm {

class StopTexts {
 public:
  // None of them empty.
  explicit StopTexts(std::vector<std::string> texts);

  // What of the text so far is certain to stand before a stop text: what could be the beginning of
  // one is held back. Nothing once one was found. The time per byte does not grow with the text.
  std::string push(std::string_view piece);
  // What was held back, when nothing more comes.
  std::string flush();
  // The one that was complete first; of several that end at the same place the longest.
  [[nodiscard]] const std::optional<std::string>& found() const { return found_; }

 private:
  // Knuth, Morris and Pratt: how much of the stop text the end of the text so far is.
  struct Matcher {
    std::string text;
    std::vector<size_t> shorter;  // by how much is matched: the next shorter match
    size_t matched = 0;
    void advance(char c);
  };

  std::vector<Matcher> matchers_;
  std::string held_;
  std::optional<std::string> found_;
};

}  // namespace mw::lm
