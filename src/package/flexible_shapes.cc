// FlexibleShapeInformation: a tuple of (kind, {input: shapes}) pairs, read and written.
#include "package/flexible_shapes.h"

#include <cstdio>
#include <limits>
#include <utility>

#include "base/error.h"

namespace mw::package {
namespace {

using ir::Constant;
using ir::ConstantPtr;
using ir::Type;
using Kind = ir::Type::Kind;

const std::string* string_in(const Constant& constant) {
  const bool is_string = constant.is_tensor() && constant.value().dtype() == DType::kString &&
                         constant.value().count() == 1;
  return is_string ? constant.value().data<std::string>() : nullptr;
}

std::optional<Shape> shape_in(const Constant& constant) {
  if (!constant.is_tensor() || !is_integer(constant.value().dtype())) return std::nullopt;
  const Tensor& tensor = constant.value();
  if (tensor.count() > static_cast<int64_t>(ir::kMaxRank)) return std::nullopt;
  Shape shape;
  for (int64_t i = 0; i < tensor.count(); ++i) shape.push_back(tensor.integer_at(i));
  return shape;
}

std::optional<std::vector<ShapeRange>> ranges_in(const Constant& constant) {
  if (constant.type().kind() != Kind::kList || constant.children().size() > ir::kMaxRank) {
    return std::nullopt;
  }
  std::vector<ShapeRange> ranges;
  for (const ConstantPtr& child : constant.children()) {
    const std::optional<Shape> bounds = shape_in(*child);
    if (!bounds || bounds->size() != 2 || (*bounds)[0] < 0) return std::nullopt;
    if ((*bounds)[1] >= 0 && (*bounds)[1] < (*bounds)[0]) return std::nullopt;
    ranges.push_back({(*bounds)[0], std::max<int64_t>((*bounds)[1], -1)});
  }
  return ranges;
}

// Calls visit(key, value) for each pair of a dict with string keys; false when it is none, or visit
// says so.
template <class Visit>
bool each_pair(const Constant& dict, const Visit& visit) {
  if (dict.type().kind() != Kind::kDict) return false;
  for (size_t i = 0; i + 1 < dict.children().size(); i += 2) {
    const std::string* key = string_in(*dict.children()[i]);
    if (key == nullptr || !visit(*key, *dict.children()[i + 1])) return false;
  }
  return true;
}

bool read_section(const std::string& kind, const Constant& dict, FlexibleShapes& out) {
  const auto shape_into = [](const Constant& value, auto&& put) {
    const std::optional<Shape> shape = shape_in(value);
    if (!shape) return false;
    for (const int64_t extent : *shape) {
      if (extent < 0) return false;
    }
    put(*shape);
    return true;
  };
  if (kind == "DefaultShapes") {
    return each_pair(dict, [&](const std::string& input, const Constant& value) {
      return shape_into(value, [&](const Shape& shape) { out.defaults[input] = shape; });
    });
  }
  if (kind == "RangeDims") {
    return each_pair(dict, [&](const std::string& input, const Constant& value) {
      std::optional<std::vector<ShapeRange>> ranges = ranges_in(value);
      if (ranges) out.ranges[input] = std::move(*ranges);
      return ranges.has_value();
    });
  }
  if (kind != "EnumeratedShapes") return false;
  return each_pair(dict, [&](const std::string&, const Constant& alternative) {
    return each_pair(alternative, [&](const std::string& input, const Constant& value) {
      return shape_into(value, [&](const Shape& shape) { out.enumerated[input].push_back(shape); });
    });
  });
}

const Type kString = Type::scalar(DType::kString);
const Type kShapeType = Type::tensor(DType::kI32, {ir::kUnknownDim});

int64_t int32_of(int64_t extent) {
  if (extent > std::numeric_limits<int32_t>::max()) {
    fail(ErrorCode::kInvalidArgument, "a flexible shape: expected extents below 2^31, got {}",
         extent);
  }
  return extent;
}

ConstantPtr shape_constant(const Shape& shape) {
  std::vector<int64_t> values;
  for (const int64_t extent : shape) values.push_back(int32_of(extent));
  return Constant::int32s(values);
}

ConstantPtr ranges_constant(const std::vector<ShapeRange>& ranges) {
  std::vector<ConstantPtr> rows;
  rows.reserve(ranges.size());
  for (const ShapeRange& range : ranges) rows.push_back(shape_constant({range.lower, range.upper}));
  return Constant::aggregate(Type::list(Type::tensor(DType::kI32, {2})), std::move(rows));
}

ConstantPtr dict_of(const Type& value, std::vector<ConstantPtr> pairs) {
  return Constant::aggregate(Type::dict(kString, value), std::move(pairs));
}

ConstantPtr section(std::string_view kind, const ConstantPtr& dict) {
  return Constant::aggregate(Type::tuple({kString, dict->type()}),
                             {Constant::string(std::string(kind)), dict});
}

// One key per alternative, the same for the same shapes.
std::string alternative_key(const std::vector<std::pair<std::string, Shape>>& shapes,
                            size_t index) {
  uint32_t hash = 2166136261U ^ static_cast<uint32_t>(index);  // FNV-1a
  for (const auto& [name, shape] : shapes) {
    for (const char c : name + to_string(shape)) {
      hash = (hash ^ static_cast<uint8_t>(c)) * 16777619U;
    }
  }
  return fmt::format("{:08x}", hash);
}

bool is_image(const Type& type) { return type.is_tensor() && type.has_rank() && type.rank() == 4; }

// The shapes a feature may take as ranges over the dimensions of its tensor: of an image [1, C, H,
// W].
std::vector<ShapeRange> tensor_ranges(const Feature& feature, const Type& type) {
  if (!feature.width_range || !is_image(type)) return feature.ranges;
  std::vector<ShapeRange> ranges(4, ShapeRange{1, 1});
  if (type.shape()[1] > 0) ranges[1] = {type.shape()[1], type.shape()[1]};
  ranges[2] = *feature.height_range;
  ranges[3] = *feature.width_range;
  return ranges;
}

std::vector<Shape> tensor_alternatives(const Feature& feature, const Type& type) {
  if (feature.image_sizes.empty() || !is_image(type)) return feature.enumerated;
  const int64_t channels = std::max<int64_t>(type.shape()[1], 1);
  std::vector<Shape> shapes;
  shapes.reserve(feature.image_sizes.size());
  for (const Feature::ImageSize& size : feature.image_sizes) {
    shapes.push_back({1, channels, size.height, size.width});
  }
  return shapes;
}

Shape default_shape(const Feature& feature, const Type& type) {
  if (feature.kind != Feature::Kind::kImage || !is_image(type)) return feature.shape;
  return {1, std::max<int64_t>(type.shape()[1], 1), feature.height, feature.width};
}

ConstantPtr enumerated_constant(
    const std::vector<std::pair<std::string, std::vector<Shape>>>& inputs) {
  size_t count = 0;
  for (const auto& [name, shapes] : inputs) count = std::max(count, shapes.size());
  std::vector<ConstantPtr> alternatives;
  for (size_t i = 0; i < count; ++i) {
    std::vector<std::pair<std::string, Shape>> chosen;
    std::vector<ConstantPtr> pairs;
    for (const auto& [name, shapes] : inputs) {
      chosen.emplace_back(name, shapes[std::min(i, shapes.size() - 1)]);
      pairs.insert(pairs.end(), {Constant::string(name), shape_constant(chosen.back().second)});
    }
    alternatives.insert(alternatives.end(), {Constant::string(alternative_key(chosen, i)),
                                             dict_of(kShapeType, std::move(pairs))});
  }
  return dict_of(Type::dict(kString, kShapeType), std::move(alternatives));
}

}  // namespace

std::optional<FlexibleShapes> flexible_shapes_of(const ir::Function& function) {
  const ConstantPtr attribute = ir::find_attribute(function.attributes, kFlexibleShapes);
  if (!attribute || attribute->type().kind() != Kind::kTuple) return std::nullopt;
  FlexibleShapes shapes;
  for (const ConstantPtr& part : attribute->children()) {
    if (part->type().kind() != Kind::kTuple || part->children().size() != 2) return std::nullopt;
    const std::string* kind = string_in(*part->children()[0]);
    if (kind == nullptr || !read_section(*kind, *part->children()[1], shapes)) return std::nullopt;
  }
  return shapes;
}

ConstantPtr flexible_shapes_for(const FunctionDescription& description,
                                const ir::Function& function) {
  std::vector<ConstantPtr> defaults, ranges;
  std::vector<std::pair<std::string, std::vector<Shape>>> enumerated;
  for (const Feature& feature : description.inputs) {
    const ir::Value* value = function.find_argument(feature.name);
    if (!feature.is_flexible() || value == nullptr) continue;
    const ConstantPtr name = Constant::string(feature.name);
    defaults.insert(defaults.end(), {name, shape_constant(default_shape(feature, value->type))});
    if (const auto bounds = tensor_ranges(feature, value->type); !bounds.empty()) {
      ranges.insert(ranges.end(), {name, ranges_constant(bounds)});
    } else {
      enumerated.emplace_back(feature.name, tensor_alternatives(feature, value->type));
    }
  }
  if (defaults.empty()) return nullptr;
  std::vector<ConstantPtr> sections = {
      section("DefaultShapes", dict_of(kShapeType, std::move(defaults)))};
  if (!ranges.empty()) {
    sections.push_back(section(
        "RangeDims", dict_of(Type::list(Type::tensor(DType::kI32, {2})), std::move(ranges))));
  }
  if (!enumerated.empty()) {
    sections.push_back(section("EnumeratedShapes", enumerated_constant(enumerated)));
  }
  std::vector<Type> types;
  types.reserve(sections.size());
  for (const ConstantPtr& part : sections) types.push_back(part->type());
  return Constant::aggregate(Type::tuple(std::move(types)), std::move(sections));
}

}  // namespace mw::package
