// metadata.json written: what Apple's compiler says about a model, for tools that read it.
#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "package/metadata_json.h"

namespace mw::package {
namespace {

using Json = nlohmann::ordered_json;
using Kind = Feature::Kind;

constexpr std::string_view kTimes = " \u00d7 ";

std::string display_name(DType dtype) {
  std::string name(name_of(dtype));
  if (name.starts_with("fp") && name.find('e') == std::string::npos) {
    return "Float" + name.substr(2);
  }
  if (name == "bf16") return "BFloat16";
  if (name.starts_with("uint")) return "UInt" + name.substr(4);
  name[0] = static_cast<char>(name[0] - 'a' + 'A');
  return name;
}

std::string joined(const std::vector<std::string>& parts, std::string_view between) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) text += (i > 0 ? std::string(between) : "") + parts[i];
  return text;
}

std::string product(const Shape& shape) {
  std::vector<std::string> parts;
  for (const int64_t extent : shape) parts.push_back(std::to_string(extent));
  return joined(parts, kTimes);
}

std::string range_text(const ShapeRange& range) {
  if (range.upper == range.lower) return std::to_string(range.lower);
  return fmt::format("{}...{}", range.lower, range.upper < 0 ? "" : std::to_string(range.upper));
}

void describe_flexibility(const Feature& feature, Json& entry) {
  entry["hasShapeFlexibility"] = feature.is_flexible() ? "1" : "0";
  std::vector<std::string> shown, stored;
  for (const ShapeRange& range : feature.ranges) {
    shown.push_back(range_text(range));
    stored.push_back(fmt::format("[{}, {}]", range.lower, range.upper));
  }
  if (!feature.ranges.empty()) {
    entry["shapeFlexibility"] = joined(shown, kTimes);
    entry["shapeRange"] = fmt::format("[{}]", joined(stored, ", "));
  }
  for (const Shape& shape : feature.enumerated) {
    shown.push_back(product(shape));
    stored.push_back(to_string(shape));
  }
  if (!feature.enumerated.empty()) {
    entry["shapeFlexibility"] = joined(shown, " | ");
    entry["enumeratedShapes"] = fmt::format("[{}]", joined(stored, ", "));
  }
}

void describe_array(const Feature& feature, std::string_view type, Json& entry) {
  const std::string dtype = feature.dtype ? display_name(*feature.dtype) : "";
  const std::string shape = product(feature.shape);
  describe_flexibility(feature, entry);
  entry["dataType"] = dtype;
  entry["formattedType"] = fmt::format("{} ({}{}{})", type, dtype, shape.empty() ? "" : " ", shape);
  entry["shape"] = to_string(feature.shape);
}

void describe_image(const Feature& feature, Json& entry) {
  const bool is_color =
      feature.color_space == ColorSpace::kRgb || feature.color_space == ColorSpace::kBgr;
  entry["height"] = std::to_string(feature.height);
  entry["width"] = std::to_string(feature.width);
  entry["isColor"] = is_color ? "1" : "0";
  entry["colorspace"] = feature.color_space == ColorSpace::kBgr            ? "BGR"
                        : feature.color_space == ColorSpace::kRgb          ? "RGB"
                        : feature.color_space == ColorSpace::kGrayscaleF16 ? "Grayscale16Half"
                                                                           : "Grayscale";
  entry["hasSizeFlexibility"] = feature.is_flexible() ? "1" : "0";
  if (feature.width_range && feature.height_range) {
    entry["sizeFlexibility"] =
        range_text(*feature.width_range) + std::string(kTimes) + range_text(*feature.height_range);
    entry["sizeRange"] =
        fmt::format("[[{}, {}], [{}, {}]]", feature.width_range->lower, feature.width_range->upper,
                    feature.height_range->lower, feature.height_range->upper);
  }
  entry["formattedType"] = fmt::format("Image ({} {}{}{})", is_color ? "Color" : "Grayscale",
                                       feature.width, kTimes, feature.height);
}

Json describe(const Feature& feature, bool strip_metadata) {
  Json entry = Json::object();
  entry["isOptional"] = feature.optional ? "1" : "0";
  const std::string key = feature.element == Feature::Element::kString ? "String" : "Int64";
  std::string type;
  switch (feature.kind) {
    case Kind::kMultiArray:
      describe_array(feature, type = "MultiArray", entry);
      break;
    case Kind::kState:
      describe_array(feature, type = "State", entry);
      break;
    case Kind::kImage:
      type = "Image";
      describe_image(feature, entry);
      break;
    case Kind::kDictionary:
      type = "Dictionary";
      entry["keyType"] = key;
      entry["formattedType"] = fmt::format("Dictionary ({} \u2192 Double)", key);
      break;
    case Kind::kSequence:
      type = "Sequence";
      entry["formattedType"] = fmt::format("Sequence ({})", key);
      break;
    case Kind::kInt64:
      entry["formattedType"] = type = "Int64";
      break;
    case Kind::kDouble:
      entry["formattedType"] = type = "Double";
      break;
    case Kind::kString:
      entry["formattedType"] = type = "String";
      break;
  }
  entry["shortDescription"] = strip_metadata ? "" : feature.description;
  entry["name"] = feature.name;
  entry["type"] = type;
  return entry;
}

void put_schemas(const FunctionDescription& function, bool strip_metadata, Json& object) {
  const auto schema = [&](const std::vector<Feature>& features) {
    Json list = Json::array();
    for (const Feature& feature : features) list.push_back(describe(feature, strip_metadata));
    return list;
  };
  object["inputSchema"] = schema(function.inputs);
  object["outputSchema"] = schema(function.outputs);
  object["stateSchema"] = schema(function.states);
}

// "reduce_argmax" -> "reduceArgmax", or "ReduceArgmax" with `upper`.
std::string camel_case(std::string_view name, bool upper) {
  std::string text;
  for (const char c : name) {
    if (c == '_') {
      upper = true;
    } else {
      text += upper && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
      upper = false;
    }
  }
  return text;
}

std::string mixed(const std::set<std::string>& names) {
  if (names.size() == 1) return *names.begin();
  return fmt::format("Mixed ({})", joined({names.begin(), names.end()}, ", "));
}

// What the histogram and the two precisions are made of.
struct Census {
  std::map<std::string, int> histogram;
  std::set<std::string> computed, stored;
};

// The palette size is the number of entries per lookup table: the last axis but one from iOS18 on.
void note_palette(const ir::Constant& lut, ir::Opset opset, Census& census) {
  const Shape& shape = lut.type().shape();
  const bool grouped = opset >= ir::Opset::kIos18 && shape.size() >= 2;
  const int64_t entries = shape.empty() ? 1 : shape[shape.size() - (grouped ? 2 : 1)];
  int bits = 0;
  while (bits < 16 && (int64_t{1} << bits) < entries) ++bits;
  census.stored.insert(fmt::format("Palettized ({} bits)", bits));
}

void note_parameter(const ir::Operation& op, std::string_view name, const ir::ConstantPtr& value,
                    ir::Opset opset, Census& census) {
  if (!value || !value->is_tensor()) return;
  if (name == "lut") return note_palette(*value, opset, census);
  if (name.find("mask") != std::string_view::npos) census.stored.insert("Sparse");
  const bool is_data = name == "val" || name.find("data") != std::string_view::npos;
  const bool is_mask =
      name.find("mask") != std::string_view::npos || op.type.find("_lut_") != std::string::npos;
  if (is_data && !is_mask && value->blob_ref()) {
    census.stored.insert(display_name(value->value().dtype()));
  }
}

void count_ops(const ir::Function& function, Census& census) {
  ir::for_each_op(function.body, [&](const ir::Operation& op) {
    const bool stores = op.is_const() || op.type.starts_with("constexpr_");
    if (stores) {
      for (const auto& [name, value] : op.attributes) {
        note_parameter(op, name, value, function.opset, census);
      }
      for (const ir::Input& input : op.inputs) {
        if (input.operands.size() == 1) {
          note_parameter(op, input.name, input.operands[0].literal, function.opset, census);
        }
      }
    }
    if (op.is_const()) {
      for (const auto& output : op.outputs) {
        if (output->type.is_tensor() && output->type.dtype() == DType::kI32) {
          census.computed.insert("Int32");
        }
      }
      return;
    }
    const bool is_base = function.opset == ir::Opset::kIos15;
    const std::string prefix =
        is_base ? "" : fmt::format("Ios{}.", ir::name_of(function.opset).substr(3));
    ++census.histogram[prefix + camel_case(op.type, is_base)];
    for (const auto& output : op.outputs) {
      if (!output->type.is_tensor()) continue;
      const DType dtype = output->type.dtype();
      if (is_float(dtype) || is_integer(dtype)) census.computed.insert(display_name(dtype));
    }
  });
}

void put_census(const Census& census, Json& object) {
  object["mlProgramOperationTypeHistogram"] = Json::object();
  for (const auto& [name, count] : census.histogram) {
    object["mlProgramOperationTypeHistogram"][name] = count;
  }
  if (!census.computed.empty()) object["computePrecision"] = mixed(census.computed);
  if (!census.stored.empty()) object["storagePrecision"] = mixed(census.stored);
}

Json availability(int spec_version) {
  struct Row {
    const char *macos, *ios, *watchos, *visionos;
  };
  constexpr std::array<Row, 5> kRows = {{{"12.0", "15.0", "8.0", "1.0"},
                                         {"13.0", "16.0", "9.0", "1.0"},
                                         {"14.0", "17.0", "10.0", "1.0"},
                                         {"15.0", "18.0", "11.0", "2.0"},
                                         {"26.0", "26.0", "26.0", "26.0"}}};
  const Row& row = kRows[static_cast<size_t>(std::clamp(spec_version, 6, 10) - 6)];
  return {{"macOS", row.macos},     {"tvOS", row.ios}, {"visionOS", row.visionos},
          {"watchOS", row.watchos}, {"iOS", row.ios},  {"macCatalyst", row.ios}};
}

void put_metadata(const Metadata& metadata, Json& object) {
  if (!metadata.short_description.empty()) object["shortDescription"] = metadata.short_description;
  if (!metadata.version.empty()) object["version"] = metadata.version;
  if (!metadata.author.empty()) object["author"] = metadata.author;
  if (!metadata.license.empty()) object["license"] = metadata.license;
  object["userDefinedMetadata"] = Json::object();
  for (const auto& [key, value] : metadata.user_defined) object["userDefinedMetadata"][key] = value;
}

Json describe_function(const Model& model, const FunctionDescription& function,
                       bool strip_metadata) {
  Json object = Json::object();
  object["name"] = function.name;
  put_schemas(function, strip_metadata, object);
  Census census;
  if (const ir::Function* body = model.program->find_function(function.name)) {
    count_ops(*body, census);
  }
  put_census(census, object);
  return object;
}

}  // namespace

std::string metadata_json_text(const Model& model, std::string_view class_name,
                               bool strip_metadata) {
  Json object = Json::object();
  object["metadataOutputVersion"] = "3.0";
  put_metadata(strip_metadata ? Metadata{} : model.metadata, object);
  put_schemas(model.default_description(), strip_metadata, object);
  object["modelParameters"] = Json::array();
  object["specificationVersion"] = model.spec_version;
  Census census;
  for (const auto& function : model.program->functions) count_ops(*function, census);
  put_census(census, object);
  object["isUpdatable"] = model.updatable ? "1" : "0";
  object["availability"] = availability(model.spec_version);
  object["modelType"] = {{"name", "MLModelType_mlProgram"}};
  if (model.multi_function) {
    object["defaultFunctionName"] = model.default_function;
    object["functions"] = Json::array();
    for (const FunctionDescription& function : model.functions) {
      object["functions"].push_back(describe_function(model, function, strip_metadata));
    }
  }
  object["generatedClassName"] = class_name;
  object["method"] = "predict";
  return Json::array({object}).dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace mw::package
