// matches_glob(): names against what a user gives for several at once, as a shell matches them.
#pragma once

#include <string>
#include <vector>

namespace mw {

// `*` any characters, `?` one, `[ab]` one of these, `\*` the character itself; the whole name has
// to match, and no character of it is special: `*` takes in slashes and leading dots.
bool matches_glob(const std::string& glob, const std::string& name);
bool matches_any(const std::vector<std::string>& globs, const std::string& name);

}  // namespace mw
