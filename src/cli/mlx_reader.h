// MlxReader: values of a configuration of mlx-lm, and the options that they become.
#pragma once

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/mlx_config.h"
#include "train/settings.h"

namespace mw::cli {

template <class Names>
bool is_in(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

inline std::string key_of(const YAML::const_iterator::value_type& row) {
  return row.first.IsScalar() ? row.first.Scalar() : "";
}

// Values are checked as they are read: an error names FILE:LINE and the key.
class MlxReader {
 public:
  MlxReader(const YAML::Node& root, std::string path, const CLI::App& command)
      : root(root), path_(std::move(path)), command_(command) {}

  // "FILE:LINE"
  [[nodiscard]] std::string line_of(const YAML::Node& node) const {
    return node.Mark().line >= 0 ? fmt::format("{}:{}", path_, node.Mark().line + 1) : path_;
  }
  [[nodiscard]] std::string where(const std::string& key, const YAML::Node& node) const {
    return line_of(node) + ": " + key;
  }
  [[noreturn]] void reject(const std::string& key, const YAML::Node& node,
                           const std::string& sentence) const {
    fail(ErrorCode::kInvalidArgument, "{}: {}", where(key, node), sentence);
  }
  // Null counts as absent.
  static bool has(const YAML::Node& map, const char* key) { return map[key] && !map[key].IsNull(); }

  template <class T>
  T read(const YAML::Node& map, const char* key, const std::string& name, const T& usual,
         const char* expected) const {
    if (!has(map, key)) return usual;
    return value_of<T>(map[key], name, expected);
  }
  template <class T>
  T value_of(const YAML::Node& node, const std::string& name, const char* expected) const {
    T value{};
    if (node.IsScalar() && YAML::convert<T>::decode(node, value)) return value;
    reject(name, node,
           fmt::format("expected {}, got {}", expected,
                       node.IsScalar() ? "'" + node.Scalar() + "'" : "a list or a map"));
  }
  [[nodiscard]] int64_t whole(const char* key, int64_t usual) const {
    return read<int64_t>(root, key, key, usual, "a whole number");
  }
  // At least 1.
  [[nodiscard]] int64_t count(const char* key, int64_t usual) const {
    const int64_t value = whole(key, usual);
    if (value < 1) reject(key, root[key], fmt::format("expected at least 1, got {}", value));
    return value;
  }
  [[nodiscard]] bool flag(const char* key) const {
    return read<bool>(root, key, key, false, "true or false");
  }
  [[nodiscard]] std::string text(const char* key, const char* usual) const {
    return read<std::string>(root, key, key, usual, "a text");
  }
  [[nodiscard]] YAML::Node map(const char* key) const {
    if (!has(root, key)) return YAML::Node(YAML::NodeType::Map);
    if (!root[key].IsMap()) reject(key, root[key], "expected keys and values");
    return root[key];
  }
  template <class Names>
  void expect_keys(const YAML::Node& map, const std::string& name, const Names& known) const {
    for (const auto& row : map) {
      const std::string key = key_of(row);
      if (is_in(known, key)) continue;
      reject(name, row.first,
             fmt::format("'{}': expected {}", key, training::listed({known.begin(), known.end()})));
    }
  }

  // Of the command, by its setting's name; null: none.
  [[nodiscard]] const CLI::Option* option_named(const std::string& setting) const {
    std::string name = "--" + setting;
    std::replace(name.begin(), name.end(), '_', '-');
    return command_.get_option_no_throw(name);
  }
  // The same, where the command line has it.
  [[nodiscard]] const CLI::Option* given(const char* option) const {
    const CLI::Option* found = option_named(option);
    return found != nullptr && found->count() > 0 ? found : nullptr;
  }
  void set(const char* option, std::vector<std::string> values, const char* key) {
    options.push_back({option, std::move(values), where(key, root[key] ? root[key] : root)});
  }
  void set(const char* option, const std::string& value, const char* key) {
    set(option, std::vector{value}, key);
  }
  void set(const char* option, const char* value, const char* key) {
    set(option, std::string(value), key);
  }
  void set(const char* option, int64_t value, const char* key) {
    set(option, std::to_string(value), key);
  }
  void set(const char* option, double value, const char* key) {
    set(option, fmt::format("{}", static_cast<float>(value)), key);
  }

  const YAML::Node root;
  std::vector<OptionValue> options;

 private:
  std::string path_;
  const CLI::App& command_;
};

// Which optimiser with which settings, and its learning rate over the run.
void describe_optimizer(MlxReader& r);
void describe_schedule(MlxReader& r);

inline constexpr auto kMlxScheduleKeys =
    std::to_array<std::string_view>({"name", "arguments", "warmup", "warmup_init"});

}  // namespace mw::cli
