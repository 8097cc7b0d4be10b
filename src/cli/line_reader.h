// LineReader: lines from stdin, a terminal or a pipe, that an interruption does not wait for.
#pragma once

#include <optional>
#include <string>

namespace mw::cli {

class LineReader {
 public:
  // The next line without its end; nothing where there is no more, or once is_interrupted(). Throws
  // io where it cannot be read, invalid_argument for a line of more than a mebibyte.
  std::optional<std::string> next();
  // Whether somebody types them, and reads what stderr says.
  [[nodiscard]] static bool is_terminal();

 private:
  bool read_more();  // false: there is no more

  std::string read_;
  bool ended_ = false;
};

}  // namespace mw::cli
