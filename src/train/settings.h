// Settings by name: what each() of the structs of settings.hpp tells, as checks, texts and facts.
//
//   StudentOptions options;
//   set(options, "optimizer", {"sgd"});
//   set(options, "momentum", {"0.9"});
//   check(options);
#pragma once

#include <charconv>
#include <concepts>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "millwright/generation.hpp"
#include "millwright/run_settings.hpp"

namespace mw::training {

template <class T>
concept HasSettings = requires {
  { T::kName } -> std::convertible_to<const char*>;
};

template <class T>
inline constexpr bool kIsList = false;
template <class T>
inline constexpr bool kIsList<std::vector<T>> = true;
template <class T>
inline constexpr bool kIsOptional = false;
template <class T>
inline constexpr bool kIsOptional<std::optional<T>> = true;

// Shows `f` every setting of `options` and of the structs in it, as f(name, member, allowed, help),
// by the name that it has where all of them stand side by side: beta1, warmup_steps, lora_rank. The
// choice of an optimiser comes as itself before the settings that it brings; those of an optional
// struct come where it is there.
template <class Options, class F>
void for_each_setting(Options& options, const F& f);

// A number, a flag, a word: from text, as text, and what speaks against a value: "expected a number
// in [0, 1), got 2"; empty: nothing. read() leaves `to` as it is where something does.
std::string allowed_text(const Allowed& allowed, bool whole);  // "a number in [0, 1)"
std::string objection_to(double value, const Allowed& allowed);
std::string objection_to(int64_t value, const Allowed& allowed);
std::string read(const std::string& text, const Allowed& allowed, float& to);
std::string read(const std::string& text, const Allowed& allowed, int& to);
std::string read(const std::string& text, const Allowed& allowed, int64_t& to);
std::string read(const std::string& text, const Allowed& allowed, uint64_t& to);
std::string read(const std::string& text, const Allowed& allowed, bool& to);
std::string read(const std::string& text, const Allowed& allowed, std::string& to);
std::string read(const std::string& text, const Allowed& allowed, std::filesystem::path& to);
// "*norm*:learning_rate_factor=0.1,weight_decay=0"
std::string read(const std::string& text, const Allowed& allowed, ParameterGroup& to);
// "42=-1.5", " the=-inf"
std::string read(const std::string& text, const Allowed& allowed, LogitBias& to);
// By name, with the settings that it usually has.
std::string read(const std::string& text, const Allowed& allowed, Optimizer& to);
std::string text_of(float value);
std::string text_of(int value);
std::string text_of(int64_t value);
std::string text_of(uint64_t value);
std::string text_of(bool value);
std::string text_of(const std::string& value);
std::string text_of(const std::filesystem::path& value);
std::string text_of(const ParameterGroup& value);
std::string text_of(const LogitBias& value);
std::string text_of(const Optimizer& value);
std::string lower_case(std::string_view name);
std::string listed(const std::vector<std::string>& names);  // "a, b or c"

// One setting, for those who make something of all: options, documents, classes of a language.
struct SettingFacts {
  std::string name, help;
  // "number", "whole number", "flag", "text", "path", "choice"; else names of structs
  std::string type;
  bool is_list = false, is_optional = false;
  std::vector<std::string> choices;
  Allowed allowed;
  std::vector<std::string> usual;  // where nothing is given, as texts; one unless it is a list
  // Of a setting that optimisers bring: their names, and what is usual with each.
  std::vector<std::pair<std::string, std::string>> optimizers;
  std::function<std::string(const std::string&)> objection;  // to one value as text
};
// Of all settings of training, side by side: those of the run first.
std::vector<SettingFacts> facts_of_training();
// Of one struct, as its members stand in it.
template <HasSettings S>
std::vector<SettingFacts> members_of(const S& usual);

// Throws invalid_argument with the setting for a value that is not allowed.
template <HasSettings Options>
void check(const Options& options);
// Sets one by its name in facts_of_training(), a list as a whole. Throws invalid_argument with the
// setting for a value that is not allowed, for a name that is none, and for a setting of another
// optimiser: so "optimizer" comes first. A setting lora_... switches the adapters on.
void set(StudentOptions& options, const std::string& name, const std::vector<std::string>& values);
void set(TrainingSettings& settings, const std::string& name,
         const std::vector<std::string>& values);
// Of a struct whose settings are all its own.
template <HasSettings Options>
void set(Options& options, const std::string& name, const std::vector<std::string>& values);
// All that count, in order, as texts.
template <HasSettings Options>
std::vector<std::pair<std::string, std::vector<std::string>>> values_of(const Options& options);

// Templates from here on.

template <class Enum>
requires std::is_enum_v<Enum> std::vector<std::string> choices_of() {
  return {Choices<Enum>::kNames.begin(), Choices<Enum>::kNames.end()};
}
template <class Enum>
requires std::is_enum_v<Enum> std::string text_of(Enum value) {
  return Choices<Enum>::kNames.at(static_cast<size_t>(value));
}
template <class Enum>
requires std::is_enum_v<Enum> std::string read(const std::string& text, const Allowed& /*allowed*/,
                                               Enum& to) {
  const auto& names = Choices<Enum>::kNames;
  for (size_t i = 0; i < names.size(); ++i) {
    if (names.at(i) != text) continue;
    to = static_cast<Enum>(i);
    return "";
  }
  return "expected " + listed(choices_of<Enum>()) + ", got '" + text + "'";
}
template <class T>
std::string read(const std::string& text, const Allowed& allowed, std::optional<T>& to) {
  T value{};
  std::string objection = read(text, allowed, value);
  if (objection.empty()) to = value;
  return objection;
}

template <class T>
std::vector<std::string> texts_of(const T& value) {
  std::vector<std::string> texts;
  if constexpr (kIsList<T>) {
    for (const auto& one : value) texts.push_back(text_of(one));
  } else if constexpr (kIsOptional<T>) {
    if (value) texts.push_back(text_of(*value));
  } else {
    texts.push_back(text_of(value));
  }
  return texts;
}

// How settings of a type are described.
template <class T>
struct TypeFacts {
  static std::string name() {
    if constexpr (std::is_same_v<T, bool>) {
      return "flag";
    } else if constexpr (std::is_floating_point_v<T>) {
      return "number";
    } else if constexpr (std::is_integral_v<T>) {
      return "whole number";
    } else if constexpr (std::is_enum_v<T>) {
      return "choice";
    } else if constexpr (HasSettings<T>) {
      return T::kName;
    } else if constexpr (std::is_same_v<T, std::filesystem::path>) {
      return "path";
    } else {
      return "text";
    }
  }
};
template <class T>
struct TypeFacts<std::vector<T>> : TypeFacts<T> {};
template <class T>
struct TypeFacts<std::optional<T>> : TypeFacts<T> {};
template <class... T>
struct TypeFacts<std::variant<T...>> {
  static std::string name() {
    std::string all;
    ((all += (all.empty() ? "" : " | ") + TypeFacts<T>::name()), ...);
    return all;
  }
};

template <class T>
struct Plain {
  using Type = T;
};
template <class T>
struct Plain<std::vector<T>> : Plain<T> {};
template <class T>
struct Plain<std::optional<T>> : Plain<T> {};

template <class T, class Limits>
SettingFacts facts_of(const std::string& name, const T& usual, const Limits& limits,
                      const char* help) {
  using One = typename Plain<T>::Type;
  SettingFacts facts;
  facts.name = name;
  facts.help = help;
  facts.type = TypeFacts<T>::name();
  facts.is_list = kIsList<T>;
  facts.is_optional = kIsOptional<T>;
  if constexpr (std::is_enum_v<One>) facts.choices = choices_of<One>();
  if constexpr (std::is_same_v<Limits, Allowed>) {
    facts.allowed = limits;
    facts.usual = texts_of(usual);
    facts.objection = [limits](const std::string& text) {
      One value{};
      return read(text, limits, value);
    };
  }
  return facts;
}

template <HasSettings S>
std::vector<SettingFacts> members_of(const S& usual) {
  std::vector<SettingFacts> all;
  S::each(usual, [&](const char* name, const auto& member, const auto& limits, const char* help) {
    all.push_back(facts_of(name, member, limits, help));
  });
  return all;
}

template <class F>
class SideBySide {
 public:
  SideBySide(const F& f, const char* struct_name, const char* prefix)
      : f_(f), struct_(struct_name), prefix_(prefix) {}

  template <class T>
  void operator()(const char* name, T& member, const Allowed& allowed, const char* help) const {
    f_(std::string_view(name) == "kind" ? std::string(struct_) : std::string(prefix_) + name,
       member, allowed, help);
  }
  template <class T>
  void operator()(const char* name, T& member, const Within& within, const char* help) const {
    using Member = std::remove_const_t<T>;
    const SideBySide inner(f_, name, within.prefix);
    if constexpr (HasSettings<Member>) {
      Member::each(member, inner);
    } else if constexpr (kIsOptional<Member>) {
      if (member) Member::value_type::each(*member, inner);
    } else {
      f_(std::string(name), member, allowed::kAnything, help);
      std::visit([&](auto& chosen) { std::remove_cvref_t<decltype(chosen)>::each(chosen, inner); },
                 member);
    }
  }

 private:
  const F& f_;
  const char *struct_, *prefix_;
};

template <class Options, class F>
void for_each_setting(Options& options, const F& f) {
  std::remove_const_t<Options>::each(options, SideBySide<F>(f, "", ""));
}

// A value of a setting that is not allowed.
[[noreturn]] void refuse(const std::string& name, const std::string& objection);
[[noreturn]] void refuse_name(const std::string& name);

// Those whose values are numbers; words are what they are.
template <class T>
void check_value(const std::string& name, const T& value, const Allowed& allowed) {
  std::string objection;
  if constexpr (std::is_same_v<T, uint64_t>) {
    T unused = 0;
    objection = read(text_of(value), allowed, unused);
  } else if constexpr (std::is_same_v<T, bool>) {
    return;
  } else if constexpr (std::is_integral_v<T>) {
    objection = objection_to(int64_t{value}, allowed);
  } else if constexpr (std::is_floating_point_v<T>) {
    objection = objection_to(double{value}, allowed);
  } else if constexpr (kIsOptional<T>) {
    if (value) return check_value(name, *value, allowed);
  } else if constexpr (kIsList<T>) {
    for (const auto& one : value) check_value(name, one, allowed);
  } else if constexpr (HasSettings<T>) {
    T::each(value, [](const char* inner, const auto& member, const Allowed& its, const char*) {
      check_value(inner, member, its);
    });
  }
  if (!objection.empty()) refuse(name, objection);
}

template <HasSettings Options>
void check(const Options& options) {
  for_each_setting(options, [](const std::string& name, const auto& member, const Allowed& allowed,
                               const char*) { check_value(name, member, allowed); });
}

template <class T>
void assign(const std::string& name, T& member, const Allowed& allowed,
            const std::vector<std::string>& values) {
  if constexpr (kIsList<T>) {
    T all;
    for (const std::string& text : values) {
      const std::string objection = read(text, allowed, all.emplace_back());
      if (!objection.empty()) refuse(name, objection);
    }
    member = std::move(all);
  } else {
    if (values.size() != 1) {
      refuse(name, "expected one value, got " + std::to_string(values.size()));
    }
    const std::string objection = read(values[0], allowed, member);
    if (!objection.empty()) refuse(name, objection);
  }
}

// Whether there is one of that name.
template <HasSettings Options>
bool set_if_known(Options& options, const std::string& name,
                  const std::vector<std::string>& values) {
  bool found = false;
  for_each_setting(options,
                   [&](const std::string& its, auto& member, const Allowed& allowed, const char*) {
                     if (its != name) return;
                     found = true;
                     assign(name, member, allowed, values);
                   });
  return found;
}

template <HasSettings Options>
bool has_setting(const Options& options, const std::string& name) {
  bool found = false;
  for_each_setting(options, [&](const std::string& its, const auto&, const Allowed&, const char*) {
    found |= its == name;
  });
  return found;
}

template <HasSettings Options>
void set(Options& options, const std::string& name, const std::vector<std::string>& values) {
  if (!set_if_known(options, name, values)) refuse_name(name);
}

template <HasSettings Options>
std::vector<std::pair<std::string, std::vector<std::string>>> values_of(const Options& options) {
  std::vector<std::pair<std::string, std::vector<std::string>>> all;
  for_each_setting(options, [&](const std::string& name, const auto& member, const Allowed&,
                                const char*) { all.emplace_back(name, texts_of(member)); });
  return all;
}

}  // namespace mw::training
