// Text from files and from the command line, as it may be shown on a terminal or in a log.
#pragma once

#include <string>
#include <string_view>

namespace mw {

enum class Lines { kEscaped, kKept };

// `text` with what is no printable character written out: control characters (\n, \x1b), bytes that
// are no UTF-8 (\xff), separators of lines and marks that change the direction of writing
// (\u2028, \u202e). kKept leaves \n and \t as they are. The result of one call is left as it is by
// the next.
std::string printable(std::string_view text, Lines lines = Lines::kEscaped);

}  // namespace mw
