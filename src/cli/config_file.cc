// Reads the YAML file and hands each key to the option of its name.
#include "cli/config_file.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <functional>
#include <set>
#include <vector>

#include "base/error.h"
#include "base/mapped_file.h"
#include "cli/mlx_config.h"

namespace mw::cli {
namespace {

YAML::Node parse(const std::string& path) {
  const auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  try {
    const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const std::vector<YAML::Node> documents = YAML::LoadAll(text);
    file->check_intact();
    if (documents.size() == 1) return documents[0];
    fail(ErrorCode::kInvalidArgument, "{}: expected one document, got {}", path, documents.size());
  } catch (const YAML::ParserException& e) {
    fail(ErrorCode::kInvalidArgument, "{}:{}: {}", path, e.mark.line + 1, e.msg);
  } catch (const YAML::Exception& e) {
    fail(ErrorCode::kIo, "{}: cannot be read: {}", path, e.what());
  }
}

CLI::Option* option_named(CLI::App& command, std::string key) {
  std::replace(key.begin(), key.end(), '_', '-');
  CLI::Option* option = command.get_option_no_throw("--" + key);
  return option != nullptr ? option : command.get_option_no_throw(key);
}

void add_value(CLI::Option& option, const YAML::Node& value) {
  if (value.IsScalar()) {
    option.add_result(value.Scalar());
  } else if (value.IsSequence()) {
    for (const YAML::Node& item : value) {
      if (!item.IsScalar()) fail(ErrorCode::kInvalidArgument, "expected plain values in the list");
      option.add_result(item.Scalar());
    }
  } else {
    fail(ErrorCode::kInvalidArgument, "expected a value or a list of values");
  }
}

// What gives one value to an option, where the command line does not.
void apply(CLI::Option& option, const std::string& where, const std::function<void()>& give) {
  if (option.count() > 0) return;
  try {
    in_context([&] { return where; }, give);
    option.run_callback();
  } catch (const CLI::Error& e) {
    fail(ErrorCode::kInvalidArgument, "{}: {}", where.substr(0, where.rfind(": ")), e.what());
  }
}

void apply_mlx(CLI::App& command, const YAML::Node& root, const std::string& path) {
  for (const OptionValue& row : options_of_mlx(root, path, command)) {
    CLI::Option* option = option_named(command, row.option);
    MW_CHECK(option != nullptr);
    apply(*option, row.where, [&] {
      for (const std::string& value : row.values) option->add_result(value);
    });
  }
}

}  // namespace

void apply_config(CLI::App& command, const std::string& path) {
  const YAML::Node root = parse(path);
  if (!root.IsMap()) fail(ErrorCode::kInvalidArgument, "{}: expected keys and values", path);
  if (command.get_name() == "train" && is_mlx_config(root)) return apply_mlx(command, root, path);
  std::set<const CLI::Option*> seen;
  for (const auto& row : root) {
    const std::string key = row.first.IsScalar() ? row.first.Scalar() : "";
    const std::string where = fmt::format("{}:{}", path, row.first.Mark().line + 1);
    CLI::Option* option = option_named(command, key);
    if (option == nullptr || key == "config" || key == "help") {
      fail(ErrorCode::kInvalidArgument, "{}: '{}' is no option of {}; see {} --help", where, key,
           command.get_name(), command.get_name());
    }
    if (!seen.insert(option).second) {
      fail(ErrorCode::kInvalidArgument, "{}: '{}' is there twice", where, key);
    }
    if (row.second.IsNull()) continue;
    apply(*option, fmt::format("{}: {}", where, key), [&] { add_value(*option, row.second); });
  }
}

}  // namespace mw::cli
