// Manifest.json of a .mlpackage, read and written.
#include "package/manifest.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "package/container.h"
#include "package/enclosure.h"
#include "package/hash.h"
#include "package/json_file.h"
#include "package/weight_files.h"

namespace mw::package {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

std::string lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

fs::path under_data(const fs::path& package, const std::string& relative) {
  fs::path path = package / "Data";
  const std::vector<std::string> parts = safe_parts(relative, 0);
  if (parts.empty()) {
    fail(ErrorCode::kInvalidModel, "an item: expected the path of a file under Data, got '{}'",
         relative);
  }
  for (const std::string& part : parts) path /= part;
  return path;
}

std::string string_member(const Json& object, const char* name) {
  const auto found = object.is_object() ? object.find(name) : object.end();
  if (found == object.end() || !found->is_string()) return "";
  return found->get<std::string>();
}

OrderedJson item(std::string_view name, std::string_view description) {
  return {{"author", "com.apple.CoreML"},
          {"description", description},
          {"name", name},
          {"path", fmt::format("com.apple.CoreML/{}", name)}};
}

}  // namespace

Manifest read_manifest(const fs::path& package) {
  return in_context(
      [] { return "Manifest.json"; },
      [&] {
        const Enclosure model(package);
        const std::optional<Json> json = parse_json_file(model.inside(package / "Manifest.json"));
        if (!json || !json->is_object()) fail(ErrorCode::kInvalidModel, "expected a JSON object");
        const std::string root = lower(string_member(*json, "rootModelIdentifier"));
        const auto entries = json->find("itemInfoEntries");
        if (root.empty() || entries == json->end() || !entries->is_object()) {
          fail(ErrorCode::kInvalidModel, "expected rootModelIdentifier and itemInfoEntries");
        }
        Manifest manifest;
        for (const auto& [identifier, entry] : entries->items()) {
          fs::path path = under_data(package, string_member(entry, "path"));
          if (lower(identifier) == root) {
            manifest.spec = std::move(path);
          } else {
            manifest.items.push_back(std::move(path));
          }
        }
        if (manifest.spec.empty()) {
          fail(ErrorCode::kInvalidModel,
               "expected the root model '{}' among the items, got none of that identifier", root);
        }
        std::error_code error;
        if (fs::status(manifest.spec, error).type() == fs::file_type::none) {
          fail(ErrorCode::kIo, "{}: cannot be reached: {}", manifest.spec.string(),
               error.message());
        }
        if (!is_file(manifest.spec)) {
          fail(ErrorCode::kInvalidModel,
               "the model file is missing: expected it at {}; was the package nested or copied in "
               "part?",
               manifest.spec.string());
        }
        (void)model.inside(manifest.spec);
        return manifest;
      });
}

std::string manifest_text(bool has_weights, std::string_view seed) {
  const std::string model = uuid_of(fmt::format("model {}", seed));
  OrderedJson entries = OrderedJson::object();
  entries[model] = item("model.mlmodel", "CoreML Model Specification");
  if (has_weights) {
    entries[uuid_of(fmt::format("weights {}", seed))] = item("weights", "CoreML Model Weights");
  }
  const OrderedJson manifest = {
      {"fileFormatVersion", "1.0.0"}, {"itemInfoEntries", entries}, {"rootModelIdentifier", model}};
  return manifest.dump(4) + "\n";
}

}  // namespace mw::package
