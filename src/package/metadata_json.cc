// metadata.json read as hints: every member optional, every type checked.
#include "package/metadata_json.h"

#include <algorithm>
#include <cstdlib>

#include "package/json_file.h"

namespace mw::package {
namespace {

using Json = nlohmann::json;

std::string text_in(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

ColorSpace color_space_named(const std::string& name) {
  if (name == "RGB") return ColorSpace::kRgb;
  if (name == "BGR") return ColorSpace::kBgr;
  if (name == "Grayscale16Half") return ColorSpace::kGrayscaleF16;
  return name == "Grayscale" ? ColorSpace::kGrayscale : ColorSpace::kNone;
}

void apply_entry(const Json& entry, Feature& feature) {
  feature.description = text_in(entry, "shortDescription");
  feature.optional = text_in(entry, "isOptional") == "1";
  const ColorSpace color_space = color_space_named(text_in(entry, "colorspace"));
  if (text_in(entry, "type") != "Image" || color_space == ColorSpace::kNone ||
      feature.shape.size() != 4) {
    return;
  }
  const int64_t width = std::strtoll(text_in(entry, "width").c_str(), nullptr, 10);
  const int64_t height = std::strtoll(text_in(entry, "height").c_str(), nullptr, 10);
  if (width <= 0 || height <= 0) return;
  feature = {.name = feature.name,
             .description = feature.description,
             .kind = Feature::Kind::kImage,
             .optional = feature.optional,
             .width = width,
             .height = height,
             .color_space = color_space};
}

void apply_schema(const Json& object, const char* name, std::vector<Feature>& features) {
  const auto schema = object.find(name);
  if (schema == object.end() || !schema->is_array() || schema->size() > 4096) return;
  for (const Json& entry : *schema) {
    if (!entry.is_object()) continue;
    const std::string wanted = text_in(entry, "name");
    const auto found = std::find_if(features.begin(), features.end(),
                                    [&](const Feature& feature) { return feature.name == wanted; });
    if (found != features.end()) apply_entry(entry, *found);
  }
}

void apply_function(const Json& object, FunctionDescription& function) {
  apply_schema(object, "inputSchema", function.inputs);
  apply_schema(object, "outputSchema", function.outputs);
  apply_schema(object, "stateSchema", function.states);
}

void apply_metadata(const Json& object, Metadata& metadata) {
  metadata.short_description = text_in(object, "shortDescription");
  metadata.version = text_in(object, "version");
  metadata.author = text_in(object, "author");
  metadata.license = text_in(object, "license");
  const auto pairs = object.find("userDefinedMetadata");
  if (pairs == object.end() || !pairs->is_object()) return;
  for (const auto& [key, value] : pairs->items()) {
    if (value.is_string()) metadata.user_defined[key] = value.get<std::string>();
  }
}

// The one object of the file, an empty one where there is none.
Json object_in(std::string_view json) {
  std::optional<Json> parsed = parse_json(json);
  if (!parsed || !parsed->is_array() || parsed->empty() || !parsed->front().is_object()) {
    return Json::object();
  }
  return std::move(parsed->front());
}

}  // namespace

bool says_updatable(std::string_view json) {
  return text_in(object_in(json), "isUpdatable") == "1";
}

void apply_metadata_hints(std::string_view json, Model& model) {
  const Json object = object_in(json);
  if (object.empty()) return;
  apply_metadata(object, model.metadata);
  if (const std::string name = text_in(object, "defaultFunctionName");
      model.find_function(name) != nullptr) {
    model.default_function = name;
  }
  if (model.functions.size() == 1) apply_function(object, model.functions.front());
  const auto functions = object.find("functions");
  if (functions == object.end() || !functions->is_array() || functions->size() > 4096) return;
  for (const Json& entry : *functions) {
    if (!entry.is_object()) continue;
    const std::string name = text_in(entry, "name");
    for (FunctionDescription& function : model.functions) {
      if (function.name == name) apply_function(entry, function);
    }
  }
}

}  // namespace mw::package
