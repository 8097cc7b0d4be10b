// Looking for several texts at once in one that comes in pieces.
#include "lm/stop_texts.h"

#include <algorithm>
#include <utility>

namespace mw::lm {

StopTexts::StopTexts(std::vector<std::string> texts) {
  for (std::string& text : texts) {
    Matcher matcher{std::move(text), {0, 0}, 0};
    for (size_t end = 1; end < matcher.text.size(); ++end) {
      size_t length = matcher.shorter[end];
      while (length > 0 && matcher.text[length] != matcher.text[end]) {
        length = matcher.shorter[length];
      }
      matcher.shorter.push_back(matcher.text[length] == matcher.text[end] ? length + 1 : 0);
    }
    matchers_.push_back(std::move(matcher));
  }
}

void StopTexts::Matcher::advance(char c) {
  while (matched > 0 && text[matched] != c) matched = shorter[matched];
  if (text[matched] == c) ++matched;
}

std::string StopTexts::push(std::string_view piece) {
  if (found_) return "";
  for (const char c : piece) {
    held_ += c;
    const Matcher* complete = nullptr;
    for (Matcher& matcher : matchers_) {
      matcher.advance(c);
      if (matcher.matched < matcher.text.size()) continue;
      if (complete == nullptr || matcher.matched > complete->matched) complete = &matcher;
    }
    if (complete == nullptr) continue;
    found_ = complete->text;
    held_.resize(held_.size() - complete->matched);
    return std::exchange(held_, {});
  }
  size_t open = 0;
  for (const Matcher& matcher : matchers_) open = std::max(open, matcher.matched);
  std::string certain = held_.substr(0, held_.size() - open);
  held_.erase(0, certain.size());
  return certain;
}

std::string StopTexts::flush() { return std::exchange(held_, {}); }

}  // namespace mw::lm
