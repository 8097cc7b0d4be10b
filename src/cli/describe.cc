// Features, tensors and tables as text and JSON.
#include "cli/describe.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/printable.h"

namespace mw::cli {
namespace {

using package::Feature;
using package::ShapeRange;

std::string extent_text(int64_t extent) { return extent < 0 ? "?" : std::to_string(extent); }

std::string shape_text(const Shape& shape) {
  std::string text = "[";
  for (const int64_t extent : shape) text += (text.size() > 1 ? ", " : "") + extent_text(extent);
  return text + "]";
}

std::string range_text(const ShapeRange& range) {
  if (range.lower == range.upper) return std::to_string(range.lower);
  return fmt::format("{}..{}", range.lower, range.upper < 0 ? "" : std::to_string(range.upper));
}

std::string shape_text(const ir::Type& type) {
  return type.has_rank() ? shape_text(type.shape()) : "of any rank";
}

bool is_array(const Feature& feature) {
  return feature.kind == Feature::Kind::kMultiArray || feature.kind == Feature::Kind::kState;
}

const ir::Type* tensor_type_of(const ir::Value* value) {
  return value != nullptr && (value->type.is_tensor() || value->type.is_state()) ? &value->type
                                                                                 : nullptr;
}

std::string array_text(const Feature& feature, const ir::Type* type) {
  std::string text(feature.dtype     ? name_of(*feature.dtype)
                   : type != nullptr ? name_of(type->dtype())
                                     : "?");
  text += ' ';
  if (!feature.enumerated.empty()) {
    for (size_t i = 0; i < feature.enumerated.size(); ++i) {
      if (i == 4) return text + fmt::format(" and {} more shapes", feature.enumerated.size() - i);
      text += (i > 0 ? " or " : "") + shape_text(feature.enumerated[i]);
    }
    return text;
  }
  if (!feature.ranges.empty()) {
    for (size_t i = 0; i < feature.ranges.size(); ++i) {
      text += (i > 0 ? ", " : "[") + range_text(feature.ranges[i]);
    }
    return text + "]";
  }
  return text +
         (feature.shape.empty() && type != nullptr ? shape_text(*type) : shape_text(feature.shape));
}

std::string image_text(const Feature& feature) {
  std::string color = "image";
  if (feature.color_space == package::ColorSpace::kGrayscale) color = "grayscale image";
  if (feature.color_space == package::ColorSpace::kGrayscaleF16) color = "fp16 grayscale image";
  if (feature.color_space == package::ColorSpace::kRgb) color = "RGB image";
  if (feature.color_space == package::ColorSpace::kBgr) color = "BGR image";
  if (feature.width_range && feature.height_range) {
    return fmt::format("{} {} wide, {} high", color, range_text(*feature.width_range),
                       range_text(*feature.height_range));
  }
  std::string text = fmt::format("{} {} wide, {} high", color, feature.width, feature.height);
  if (!feature.image_sizes.empty()) text += fmt::format(", {} sizes", feature.image_sizes.size());
  return text;
}

}  // namespace

std::string feature_text(const Feature& feature, const ir::Value* value) {
  const ir::Type* type = tensor_type_of(value);
  std::string text(package::name_of(feature.kind));
  if (is_array(feature)) text = array_text(feature, type);
  if (feature.kind == Feature::Kind::kImage) text = image_text(feature);
  if (!is_array(feature) && type != nullptr) {
    text += fmt::format(" ({} {} inside)", name_of(type->dtype()), shape_text(*type));
  }
  if (feature.optional) text += ", optional";
  if (feature.default_value) text += fmt::format(", {} when absent", *feature.default_value);
  return text;
}

nlohmann::json feature_json(const Feature& feature, const ir::Value* value) {
  const ir::Type* type = tensor_type_of(value);
  nlohmann::json json = {{"name", feature.name},
                         {"kind", package::name_of(feature.kind)},
                         {"optional", feature.optional}};
  if (feature.dtype) json["dtype"] = name_of(*feature.dtype);
  if (type != nullptr) {
    if (!feature.dtype) json["dtype"] = name_of(type->dtype());
    json["program_dtype"] = name_of(type->dtype());
    if (type->has_rank()) json["program_shape"] = type->shape();
  }
  if (is_array(feature)) {
    const bool declared = !feature.shape.empty() || type == nullptr || !type->has_rank();
    json["shape"] = declared ? feature.shape : type->shape();
    if (!feature.enumerated.empty()) json["enumerated"] = feature.enumerated;
    for (const ShapeRange& range : feature.ranges) {
      json["ranges"].push_back({range.lower, range.upper});
    }
  }
  if (feature.kind == Feature::Kind::kImage) {
    json["width"] = feature.width;
    json["height"] = feature.height;
  }
  if (feature.default_value) json["default"] = *feature.default_value;
  if (!feature.description.empty()) json["description"] = feature.description;
  return json;
}

const ir::Value* argument_named(const ir::Function& function, const std::string& name) {
  return function.find_argument(name);
}

const ir::Value* output_named(const ir::Function& function, const std::string& name) {
  for (const ir::Value* output : function.body.outputs) {
    if (output->name == name) return output;
  }
  return nullptr;
}

namespace {

std::string text_at(const Tensor& tensor, int64_t i) {
  if (tensor.dtype() == DType::kString) return fmt::format("\"{}\"", tensor.data<std::string>()[i]);
  if (tensor.dtype() == DType::kBool) return tensor.integer_at(i) != 0 ? "true" : "false";
  if (is_float(tensor.dtype())) return fmt::format("{:.6g}", tensor.number_at(i));
  if (tensor.dtype() == DType::kU64) {
    return std::to_string(static_cast<uint64_t>(tensor.integer_at(i)));
  }
  return std::to_string(tensor.integer_at(i));
}

}  // namespace

std::string first_values(const Tensor& tensor, int64_t count) {
  std::string text;
  for (int64_t i = 0; i < std::min(count, tensor.count()); ++i) {
    text += fmt::format("{}{}", i > 0 ? " " : "", text_at(tensor, i));
  }
  return tensor.count() > count ? text + " ..." : text;
}

nlohmann::json tensor_json(const Tensor& tensor, int64_t count) {
  nlohmann::json values = nlohmann::json::array();
  for (int64_t i = 0; i < std::min(count, tensor.count()); ++i) {
    if (tensor.dtype() == DType::kString) {
      values.push_back(tensor.data<std::string>()[i]);
    } else if (is_float(tensor.dtype())) {
      values.push_back(tensor.number_at(i));
    } else {
      values.push_back(tensor.integer_at(i));
    }
  }
  return {{"dtype", name_of(tensor.dtype())}, {"shape", tensor.shape()}, {"first", values}};
}

void Table::row(const std::vector<std::string>& cells) {
  std::vector<std::string>& shown = rows_.emplace_back();
  for (const std::string& cell : cells) shown.push_back(printable(cell));
}

std::string Table::str() const {
  std::vector<size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows_) {
    std::string line = indent_;
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line += std::string(widths[i] - row[i].size() + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string wrapped(const std::vector<std::string>& words, const std::string& indent) {
  constexpr size_t kColumns = 100;
  std::string text, line = indent;
  for (const std::string& word : words) {
    if (line.size() > indent.size() && line.size() + 2 + word.size() > kColumns) {
      text += line + "\n";
      line = indent;
    }
    line += (line.size() > indent.size() ? "  " : "") + word;
  }
  return line.size() > indent.size() ? text + line + "\n" : text;
}

}  // namespace mw::cli
