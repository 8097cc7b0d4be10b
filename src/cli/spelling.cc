// Options of settings: dashes for underscores, and the names that people type most are short.
#include "cli/spelling.h"

#include <algorithm>
#include <array>
#include <utility>

namespace mw::cli {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kShort = {{
    {"learning_rate", "lr"},
    {"warmup_steps", "warmup"},
    {"clip_norm", "clip"},
    {"groups", "group"},
    {"from_adapter", "adapter"},
    {"module_names", "adapter-names"},
}};

}  // namespace

std::string option_of(std::string_view setting) {
  const auto found = std::find_if(kShort.begin(), kShort.end(),
                                  [&](const auto& row) { return row.first == setting; });
  std::string name(found == kShort.end() ? setting : found->second);
  std::replace(name.begin(), name.end(), '_', '-');
  return "--" + name;
}

std::string told(const Error& error) {
  // What is said of the teacher names its options; the others of it have names of their own.
  bool of_teacher = false;
  return error.spelled([&](std::string_view name, bool) {
    of_teacher = of_teacher || name == "teacher";
    return of_teacher && name == "role" ? "--teacher-role" : option_of(name);
  });
}

}  // namespace mw::cli
