// Values of settings from text and to text, and their checks.
#include "train/settings.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <set>

#include "base/error.h"

namespace mw::training {
namespace {

using Texts = std::vector<std::string>;

bool is_allowed(double value, const Allowed& allowed) {
  if (std::isnan(value)) return false;
  return value >= allowed.least &&
         (allowed.below_most ? value < allowed.most : value <= allowed.most);
}

// The whole text as a number; a sign may stand before it.
template <class T>
bool is_number(const std::string& text, T& to) {
  const size_t sign = text.starts_with('+') ? 1 : 0;
  const char *begin = text.data() + sign, *end = text.data() + text.size();
  T value{};
  const auto result = std::from_chars(begin, end, value);
  if (result.ec != std::errc() || result.ptr != end) return false;
  to = value;
  return true;
}

template <class T>
std::string read_whole(const std::string& text, const Allowed& allowed, T& to) {
  T value = 0;
  if (!is_number(text, value)) {
    return fmt::format("expected {}, got '{}'", allowed_text(allowed, true), text);
  }
  if (!is_allowed(static_cast<double>(value), allowed)) {
    return fmt::format("expected {}, got {}", allowed_text(allowed, true), value);
  }
  to = value;
  return "";
}

template <class F>
void for_each_optimizer(const F& f) {
  const auto all = [&]<class... T>(const std::variant<T...>*) { (f(T{}), ...); };
  all(static_cast<const Optimizer*>(nullptr));
}

Texts optimizers_with(const std::string& name) {
  Texts names;
  for_each_optimizer([&]<class T>(const T& optimizer) {
    T::each(optimizer, [&](std::string_view its, const auto&, const Allowed&, const char*) {
      if (its == name) names.push_back(lower_case(T::kName));
    });
  });
  return names;
}

}  // namespace

void refuse(const std::string& name, const std::string& objection) {
  fail(ErrorCode::kInvalidArgument, "{}: {}", setting(name), objection);
}
void refuse_name(const std::string& name) {
  fail(ErrorCode::kInvalidArgument, "'{}': expected the name of a setting", name);
}

std::string allowed_text(const Allowed& a, bool whole) {
  const char* number = whole ? "a whole number" : "a number";
  const bool from = std::isfinite(a.least), to = std::isfinite(a.most);
  if (!from && !to) return number;
  if (a.least == allowed::kAboveZero.least && !to) return fmt::format("{} more than 0", number);
  if (whole) {
    const auto least = static_cast<int64_t>(a.least);
    if (!to) return fmt::format("{} of at least {}", number, least);
    return fmt::format("{} from {} to {}", number, least, static_cast<int64_t>(a.most));
  }
  if (a.below_most) return fmt::format("{} in [{}, {})", number, a.least, a.most);
  return fmt::format("{} from {} to {}", number, a.least, a.most);
}

std::string lower_case(std::string_view name) {
  std::string lower(name);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

std::string listed(const Texts& names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) {
    text += (i == 0 ? "" : i + 1 == names.size() ? " or " : ", ") + names[i];
  }
  return text;
}

std::string objection_to(double value, const Allowed& allowed) {
  if (is_allowed(value, allowed)) return "";
  return fmt::format("expected {}, got {}", allowed_text(allowed, false), value);
}
std::string objection_to(int64_t value, const Allowed& allowed) {
  if (is_allowed(static_cast<double>(value), allowed)) return "";
  return fmt::format("expected {}, got {}", allowed_text(allowed, true), value);
}

std::string read(const std::string& text, const Allowed& allowed, float& to) {
  float value = 0;
  if (!is_number(text, value)) {
    return fmt::format("expected {}, got '{}'", allowed_text(allowed, false), text);
  }
  std::string objection = objection_to(double{value}, allowed);
  if (objection.empty()) to = value;
  return objection;
}
std::string read(const std::string& text, const Allowed& allowed, int& to) {
  return read_whole(text, allowed, to);
}
std::string read(const std::string& text, const Allowed& allowed, int64_t& to) {
  return read_whole(text, allowed, to);
}
std::string read(const std::string& text, const Allowed& allowed, uint64_t& to) {
  return read_whole(text, allowed, to);
}

std::string read(const std::string& text, const Allowed& /*allowed*/, bool& to) {
  const std::string word = lower_case(text);
  const bool yes = word == "true" || word == "yes" || word == "on" || word == "1";
  const bool no = word == "false" || word == "no" || word == "off" || word == "0";
  if (!yes && !no) return fmt::format("expected true or false, got '{}'", text);
  to = yes;
  return "";
}

std::string read(const std::string& text, const Allowed& /*allowed*/, std::string& to) {
  to = text;
  return "";
}

std::string read(const std::string& text, const Allowed& /*allowed*/, std::filesystem::path& to) {
  to = text;
  return "";
}

std::string read(const std::string& text, const Allowed& /*allowed*/, ParameterGroup& to) {
  std::string wanted =
      fmt::format("expected GLOB:learning_rate_factor=NUMBER,weight_decay=NUMBER, got '{}'", text);
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) return wanted;
  ParameterGroup group;
  group.glob = text.substr(0, colon);
  for (size_t at = colon + 1; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    const size_t equals = text.find('=', at);
    if (equals == std::string::npos || equals > end) return wanted;
    const std::string name = text.substr(at, equals - at);
    const std::string value = text.substr(equals + 1, end - equals - 1);
    std::string objection = wanted;
    ParameterGroup::each(
        group, [&](std::string_view its, auto& member, const Allowed& allowed, const char*) {
          if (its == name && its != "glob") objection = read(value, allowed, member);
        });
    if (objection == wanted) return wanted;
    if (!objection.empty()) return fmt::format("{}: {}", name, objection);
    at = end + 1;
  }
  to = std::move(group);
  return "";
}

std::string read(const std::string& text, const Allowed& /*allowed*/, LogitBias& to) {
  const size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0) {
    return fmt::format("expected TOKEN=NUMBER, got '{}'", text);
  }
  LogitBias bias{text.substr(0, equals), 0};
  std::string objection;
  LogitBias::each(bias,
                  [&](std::string_view its, auto& member, const Allowed& allowed, const char*) {
                    if (its == "bias") objection = read(text.substr(equals + 1), allowed, member);
                  });
  if (objection.empty()) to = std::move(bias);
  return objection;
}

std::string read(const std::string& text, const Allowed& /*allowed*/, Optimizer& to) {
  Texts names;
  bool found = false;
  for_each_optimizer([&]<class T>(const T& optimizer) {
    names.push_back(lower_case(T::kName));
    if (names.back() != lower_case(text)) return;
    to = optimizer;
    found = true;
  });
  return found ? "" : fmt::format("expected {}, got '{}'", listed(names), text);
}

std::string text_of(float value) { return fmt::format("{}", value); }
std::string text_of(int value) { return std::to_string(value); }
std::string text_of(int64_t value) { return std::to_string(value); }
std::string text_of(uint64_t value) { return std::to_string(value); }
std::string text_of(bool value) { return value ? "true" : "false"; }
std::string text_of(const std::string& value) { return value; }
std::string text_of(const std::filesystem::path& value) { return value.string(); }
std::string text_of(const ParameterGroup& value) {
  std::string text;
  ParameterGroup::each(value,
                       [&](std::string_view name, const auto& member, const Allowed&, const char*) {
                         if (name == "glob") return;
                         for (const std::string& one : texts_of(member)) {
                           text += fmt::format("{}{}={}", text.empty() ? ":" : ",", name, one);
                         }
                       });
  return value.glob + text;
}
std::string text_of(const LogitBias& value) {
  return fmt::format("{}={}", value.token, value.bias);
}
std::string text_of(const Optimizer& value) {
  return std::visit([]<class T>(const T&) { return lower_case(T::kName); }, value);
}

std::vector<SettingFacts> facts_of_training() {
  std::vector<SettingFacts> all;
  TrainingSettings usual;
  usual.student.lora.emplace();
  const auto describe = [&](const std::string& name, const auto& member, const Allowed& allowed,
                            const char* help) {
    all.push_back(facts_of(name, member, allowed, help));
  };
  std::set<std::string> known;
  for_each_optimizer([&]<class T>(const T& optimizer) {
    const std::string choice = lower_case(T::kName);
    T::each(optimizer,
            [&](const char* name, const auto& member, const Allowed& allowed, const char* help) {
              if (known.insert(name).second) describe(name, member, allowed, help);
              const auto found = std::find_if(
                  all.begin(), all.end(), [&](const auto& facts) { return facts.name == name; });
              found->optimizers.emplace_back(choice, text_of(member));
            });
  });
  std::vector<SettingFacts> of_optimizers = std::exchange(all, {});
  for_each_setting(usual, [&](const std::string& name, const auto& member, const Allowed& allowed,
                              const char* help) {
    if (!known.contains(name)) describe(name, member, allowed, help);
    if (name != "optimizer") return;
    for_each_optimizer(
        [&]<class T>(const T&) { all.back().choices.push_back(lower_case(T::kName)); });
    all.back().type = "choice";
    std::move(of_optimizers.begin(), of_optimizers.end(), std::back_inserter(all));
  });
  return all;
}

void set(StudentOptions& options, const std::string& name, const Texts& values) {
  StudentOptions changed = options;
  if (!changed.lora && name.starts_with("lora_")) changed.lora.emplace();
  if (set_if_known(changed, name, values)) {
    options = std::move(changed);
    return;
  }
  if (const Texts with = optimizers_with(name); !with.empty()) {
    fail(ErrorCode::kInvalidArgument, "{}: expected {} {} beside it, got {}", setting(name),
         setting("optimizer"), listed(with), text_of(options.optimizer));
  }
  refuse_name(name);
}

void set(TrainingSettings& settings, const std::string& name, const Texts& values) {
  if (set_if_known(settings.run, name, values)) return;
  if (set_if_known(settings.distill, name, values)) return;
  set(settings.student, name, values);
}

}  // namespace mw::training
