// parameter_groups(): GLOB:lr=NUMBER,decay=NUMBER taken apart.
#include "cli/parameter_groups.h"

#include <cmath>
#include <sstream>

#include "base/error.h"

namespace mw::cli {
namespace {

[[noreturn]] void refuse(const std::string& text, const std::string& got) {
  fail(ErrorCode::kInvalidArgument,
       "--group '{}': expected GLOB:lr=NUMBER,decay=NUMBER, one or both, got {}", text, got);
}

float number_of(const std::string& text, const std::string& setting, const std::string& value) {
  std::istringstream in(value);
  in.imbue(std::locale::classic());
  float number = 0;
  if (!(in >> number) || !in.eof() || !std::isfinite(number) || number < 0) {
    refuse(text, "'" + setting + "'");
  }
  return number;
}

ParameterGroup group_of(const std::string& text, float learning_rate) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) refuse(text, "no glob and ':'");
  ParameterGroup group{.glob = text.substr(0, colon)};
  std::istringstream settings(text.substr(colon + 1));
  bool any = false;
  for (std::string setting; std::getline(settings, setting, ','); any = true) {
    const size_t equals = setting.find('=');
    const std::string key = setting.substr(0, equals);
    if (equals == std::string::npos || (key != "lr" && key != "decay")) {
      refuse(text, "'" + setting + "'");
    }
    const float number = number_of(text, setting, setting.substr(equals + 1));
    if (key == "decay") {
      group.weight_decay = number;
    } else if (learning_rate > 0) {
      group.learning_rate_factor = number / learning_rate;
    } else {
      fail(ErrorCode::kInvalidArgument, "--group '{}': lr: expected --lr above 0 beside it, got 0",
           text);
    }
  }
  if (!any) refuse(text, "no setting");
  return group;
}

}  // namespace

std::vector<ParameterGroup> parameter_groups(const std::vector<std::string>& texts,
                                             float learning_rate) {
  std::vector<ParameterGroup> groups;
  groups.reserve(texts.size());
  for (const std::string& text : texts) groups.push_back(group_of(text, learning_rate));
  return groups;
}

}  // namespace mw::cli
