// What a command reads or works in must not lie inside what its output replaces.
#pragma once

#include <string>
#include <vector>

namespace mw::package {

struct Needed {
  std::string name;  // "--data"
  std::string path;  // empty: not given
  // Writing over a model that was read works, so that one may be the output itself.
  bool may_be_output = false;
};

// Throws invalid_argument, before anything is written, when one of `needed` is `output` or lies in
// it. `name` is the option of the output.
void expect_apart(const std::string& name, const std::string& output,
                  const std::vector<Needed>& needed);

}  // namespace mw::package
