// Paths without links, compared part by part.
#include "package/apart.h"

#include "base/error.h"
#include "package/enclosure.h"

namespace mw::package {

void expect_apart(const std::string& name, const std::string& output,
                  const std::vector<Needed>& needed) {
  if (output.empty()) return;
  const auto out = without_links(output);
  for (const Needed& other : needed) {
    if (other.path.empty()) continue;
    const auto path = without_links(other.path);
    if (!lies_in(path, out) || (other.may_be_output && path == out)) continue;
    fail(ErrorCode::kInvalidArgument, "{} {}: expected a path apart from {} {}, which {}", name,
         output, other.name, other.path,
         path == out ? "it would replace" : "lies inside what it replaces");
  }
}

}  // namespace mw::package
