// description_from_proto() and description_to_proto(): features, functions and metadata, patched in
// place.
#include "package/description_proto.h"

#include <algorithm>
#include <array>
#include <limits>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "package/value_proto.h"

namespace mw::package {
namespace {

using Kind = Feature::Kind;
using FeatureList = google::protobuf::RepeatedPtrField<pb::FeatureDescription>;

// The codes of the element types of multi-arrays.
constexpr auto kArrayTypes = std::to_array<std::pair<int, DType>>({{65568, DType::kF32},
                                                                   {65600, DType::kF64},
                                                                   {131104, DType::kI32},
                                                                   {65552, DType::kF16},
                                                                   {131080, DType::kI8}});

ShapeRange range_from_proto(const pb::SizeRange& range) {
  const auto lower = static_cast<int64_t>(std::min<uint64_t>(
      range.lowerbound(), static_cast<uint64_t>(std::numeric_limits<int64_t>::max())));
  if (range.upperbound() >= 0 && range.upperbound() < lower) {
    fail(ErrorCode::kInvalidModel, "expected a range with its lower bound first, got {} to {}",
         lower, range.upperbound());
  }
  return {.lower = lower, .upper = std::max<int64_t>(range.upperbound(), -1)};
}

void range_to_proto(const ShapeRange& range, pb::SizeRange* out) {
  out->set_lowerbound(static_cast<uint64_t>(std::max<int64_t>(range.lower, 0)));
  out->set_upperbound(range.upper);
}

template <class Values>
Shape shape_from_proto(const Values& values) {
  if (static_cast<size_t>(values.size()) > ir::kMaxRank) {
    fail(ErrorCode::kInvalidModel, "expected at most {} dimensions, got {}", ir::kMaxRank,
         values.size());
  }
  for (const int64_t extent : values) {
    if (extent < 0) fail(ErrorCode::kInvalidModel, "expected extents of 0 and up, got {}", extent);
  }
  return {values.begin(), values.end()};
}

void array_from_proto(const pb::ArrayFeatureType& array, Feature& feature) {
  feature.shape = shape_from_proto(array.shape());
  for (const auto& [code, dtype] : kArrayTypes) {
    if (code == array.datatype()) feature.dtype = dtype;
  }
  if (array.datatype() != 0 && !feature.dtype) {
    fail(ErrorCode::kInvalidModel, "expected a known array type, got number {}", array.datatype());
  }
  for (const auto& range : array.shaperange().sizeranges()) {
    feature.ranges.push_back(range_from_proto(range));
  }
  if (!feature.ranges.empty() && !feature.shape.empty() &&
      feature.ranges.size() != feature.shape.size()) {
    fail(ErrorCode::kInvalidModel, "expected {} ranges, one per dimension, got {}",
         feature.shape.size(), feature.ranges.size());
  }
  for (const auto& shape : array.enumeratedshapes().shapes()) {
    feature.enumerated.push_back(shape_from_proto(shape.shape()));
  }
  switch (array.defaultOptionalValue_case()) {
    case pb::ArrayFeatureType::kIntDefaultValue:
      feature.default_value = array.intdefaultvalue();
      break;
    case pb::ArrayFeatureType::kFloatDefaultValue:
      feature.default_value = array.floatdefaultvalue();
      break;
    case pb::ArrayFeatureType::kDoubleDefaultValue:
      feature.default_value = array.doubledefaultvalue();
      break;
    case pb::ArrayFeatureType::DEFAULTOPTIONALVALUE_NOT_SET:
      break;
  }
}

void image_from_proto(const pb::ImageFeatureType& image, Feature& feature) {
  feature.width = image.width();
  feature.height = image.height();
  for (const ColorSpace known :
       {ColorSpace::kGrayscale, ColorSpace::kRgb, ColorSpace::kBgr, ColorSpace::kGrayscaleF16}) {
    if (static_cast<int>(known) == image.colorspace()) feature.color_space = known;
  }
  for (const auto& size : image.enumeratedsizes().sizes()) {
    feature.image_sizes.push_back(
        {static_cast<int64_t>(size.width()), static_cast<int64_t>(size.height())});
  }
  if (image.has_imagesizerange()) {
    feature.width_range = range_from_proto(image.imagesizerange().widthrange());
    feature.height_range = range_from_proto(image.imagesizerange().heightrange());
  }
}

void type_from_proto(const pb::FeatureType& type, Feature& feature) {
  feature.optional = type.isoptional();
  switch (type.Type_case()) {
    case pb::FeatureType::kInt64Type:
      feature.kind = Kind::kInt64;
      return;
    case pb::FeatureType::kDoubleType:
      feature.kind = Kind::kDouble;
      return;
    case pb::FeatureType::kStringType:
      feature.kind = Kind::kString;
      return;
    case pb::FeatureType::kImageType:
      feature.kind = Kind::kImage;
      return image_from_proto(type.imagetype(), feature);
    case pb::FeatureType::kMultiArrayType:
      feature.kind = Kind::kMultiArray;
      return array_from_proto(type.multiarraytype(), feature);
    case pb::FeatureType::kStateType:
      feature.kind = Kind::kState;
      return array_from_proto(type.statetype().arraytype(), feature);
    case pb::FeatureType::kDictionaryType:
      feature.kind = Kind::kDictionary;
      if (type.dictionarytype().has_int64keytype()) feature.element = Feature::Element::kInt64;
      if (type.dictionarytype().has_stringkeytype()) feature.element = Feature::Element::kString;
      return;
    case pb::FeatureType::kSequenceType:
      feature.kind = Kind::kSequence;
      if (type.sequencetype().has_int64type()) feature.element = Feature::Element::kInt64;
      if (type.sequencetype().has_stringtype()) feature.element = Feature::Element::kString;
      if (type.sequencetype().has_sizerange()) {
        feature.length = range_from_proto(type.sequencetype().sizerange());
      }
      return;
    case pb::FeatureType::TYPE_NOT_SET:
      break;
  }
  fail(ErrorCode::kInvalidModel, "expected the type of a feature, got none");
}

Feature feature_from_proto(const pb::FeatureDescription& from) {
  Feature feature;
  feature.name = from.name();
  feature.description = from.shortdescription();
  in_context([&] { return fmt::format("description of '{}'", from.name()); },
             [&] { type_from_proto(from.type(), feature); });
  return feature;
}

std::vector<Feature> features_from_proto(const FeatureList& from) {
  std::vector<Feature> features;
  for (const auto& feature : from) features.push_back(feature_from_proto(feature));
  return features;
}

void array_to_proto(const Feature& feature, pb::ArrayFeatureType* out) {
  out->mutable_shape()->Assign(feature.shape.begin(), feature.shape.end());
  out->set_datatype(0);
  for (const auto& [code, dtype] : kArrayTypes) {
    if (feature.dtype == dtype) out->set_datatype(code);
  }
  if (feature.dtype && out->datatype() == 0) {
    fail(ErrorCode::kInvalidArgument,
         "'{}': Core ML takes arrays of fp16, fp32, fp64, int8 and int32, got {}", feature.name,
         name_of(*feature.dtype));
  }
  out->clear_ShapeFlexibility();
  for (const ShapeRange& range : feature.ranges) {
    range_to_proto(range, out->mutable_shaperange()->add_sizeranges());
  }
  for (const Shape& shape : feature.enumerated) {
    out->mutable_enumeratedshapes()->add_shapes()->mutable_shape()->Assign(shape.begin(),
                                                                           shape.end());
  }
  out->clear_defaultOptionalValue();
  if (!feature.default_value) return;
  if (feature.dtype == DType::kI32 || feature.dtype == DType::kI8) {
    out->set_intdefaultvalue(static_cast<int32_t>(*feature.default_value));
  } else if (feature.dtype == DType::kF64) {
    out->set_doubledefaultvalue(*feature.default_value);
  } else {
    out->set_floatdefaultvalue(static_cast<float>(*feature.default_value));
  }
}

void image_to_proto(const Feature& feature, pb::ImageFeatureType* out) {
  out->set_width(feature.width);
  out->set_height(feature.height);
  out->set_colorspace(static_cast<int>(feature.color_space));
  out->clear_SizeFlexibility();
  for (const Feature::ImageSize& size : feature.image_sizes) {
    auto* added = out->mutable_enumeratedsizes()->add_sizes();
    added->set_width(static_cast<uint64_t>(size.width));
    added->set_height(static_cast<uint64_t>(size.height));
  }
  if (feature.width_range && feature.height_range) {
    range_to_proto(*feature.width_range, out->mutable_imagesizerange()->mutable_widthrange());
    range_to_proto(*feature.height_range, out->mutable_imagesizerange()->mutable_heightrange());
  }
}

void type_to_proto(const Feature& feature, pb::FeatureType* out) {
  out->set_isoptional(feature.optional);
  const bool of_strings = feature.element == Feature::Element::kString;
  switch (feature.kind) {
    case Kind::kInt64:
      out->mutable_int64type();
      return;
    case Kind::kDouble:
      out->mutable_doubletype();
      return;
    case Kind::kString:
      out->mutable_stringtype();
      return;
    case Kind::kImage:
      return image_to_proto(feature, out->mutable_imagetype());
    case Kind::kMultiArray:
      return array_to_proto(feature, out->mutable_multiarraytype());
    case Kind::kState:
      return array_to_proto(feature, out->mutable_statetype()->mutable_arraytype());
    case Kind::kDictionary:
      if (of_strings) {
        out->mutable_dictionarytype()->mutable_stringkeytype();
      } else {
        out->mutable_dictionarytype()->mutable_int64keytype();
      }
      return;
    case Kind::kSequence:
      if (of_strings) {
        out->mutable_sequencetype()->mutable_stringtype();
      } else {
        out->mutable_sequencetype()->mutable_int64type();
      }
      if (feature.length) {
        range_to_proto(*feature.length, out->mutable_sequencetype()->mutable_sizerange());
      }
      return;
  }
}

void put(const std::string& text, std::string* out) {
  if (!is_utf8(text)) {
    fail(ErrorCode::kInvalidArgument, "the description: expected UTF-8 text, got other bytes");
  }
  *out = text;
}

// `list` becomes `features`, each patched into the message of the same name where there is one.
void features_to_proto(const std::vector<Feature>& features, FeatureList* list) {
  FeatureList old;
  old.Swap(list);
  std::unordered_map<std::string_view, const pb::FeatureDescription*> by_name;
  for (const auto& message : old) by_name.emplace(message.name(), &message);
  for (const Feature& feature : features) {
    pb::FeatureDescription* message = list->Add();
    if (const auto found = by_name.find(feature.name); found != by_name.end()) {
      *message = *found->second;
    }
    if (message->has_type() && feature_from_proto(*message) == feature) continue;
    put(feature.name, message->mutable_name());
    put(feature.description, message->mutable_shortdescription());
    type_to_proto(feature, message->mutable_type());
  }
}

// ModelDescription and FunctionDescription name these members alike.
template <class Message>
void function_to_proto(const FunctionDescription& function, Message* out) {
  features_to_proto(function.inputs, out->mutable_input());
  features_to_proto(function.outputs, out->mutable_output());
  features_to_proto(function.states, out->mutable_state());
  put(function.predicted_feature_name, out->mutable_predictedfeaturename());
  put(function.predicted_probabilities_name, out->mutable_predictedprobabilitiesname());
}

template <class Message>
FunctionDescription function_from_proto(const std::string& name, const Message& from) {
  return {.name = name,
          .inputs = features_from_proto(from.input()),
          .outputs = features_from_proto(from.output()),
          .states = features_from_proto(from.state()),
          .predicted_feature_name = from.predictedfeaturename(),
          .predicted_probabilities_name = from.predictedprobabilitiesname()};
}

Metadata metadata_from_proto(const pb::Metadata& from) {
  Metadata metadata{.short_description = from.shortdescription(),
                    .version = from.versionstring(),
                    .author = from.author(),
                    .license = from.license()};
  for (const auto& entry : from.userdefined()) metadata.user_defined[entry.key()] = entry.value();
  return metadata;
}

void metadata_to_proto(const Metadata& metadata, pb::ModelDescription* description) {
  if (metadata_from_proto(description->metadata()) == metadata) return;
  pb::Metadata* out = description->mutable_metadata();
  put(metadata.short_description, out->mutable_shortdescription());
  put(metadata.version, out->mutable_versionstring());
  put(metadata.author, out->mutable_author());
  put(metadata.license, out->mutable_license());
  out->clear_userdefined();
  for (const auto& [key, value] : metadata.user_defined) {
    auto* entry = out->add_userdefined();
    put(key, entry->mutable_key());
    put(value, entry->mutable_value());
  }
}

void functions_to_proto(const Model& model, pb::ModelDescription* description) {
  description->clear_input();
  description->clear_output();
  description->clear_state();
  description->clear_predictedfeaturename();
  description->clear_predictedprobabilitiesname();
  google::protobuf::RepeatedPtrField<pb::FunctionDescription> old;
  old.Swap(description->mutable_functions());
  std::unordered_map<std::string_view, const pb::FunctionDescription*> by_name;
  for (const auto& message : old) by_name.emplace(message.name(), &message);
  for (const FunctionDescription& function : model.functions) {
    pb::FunctionDescription* message = description->add_functions();
    if (const auto found = by_name.find(function.name); found != by_name.end()) {
      *message = *found->second;
    }
    put(function.name, message->mutable_name());
    function_to_proto(function, message);
  }
  put(model.default_function, description->mutable_defaultfunctionname());
}

template <class Message>
void strip_texts(Message* message) {
  for (FeatureList* list :
       {message->mutable_input(), message->mutable_output(), message->mutable_state()}) {
    for (auto& feature : *list) feature.clear_shortdescription();
  }
}

void strip(pb::ModelDescription* description) {
  description->clear_metadata();
  strip_texts(description);
  for (auto& function : *description->mutable_functions()) strip_texts(&function);
}

}  // namespace

void description_from_proto(const pb::ModelDescription& description, Model& model) {
  model.description_bytes = description.SerializeAsString();
  model.metadata = metadata_from_proto(description.metadata());
  model.default_function = description.defaultfunctionname();
  model.multi_function = !description.functions().empty();
  model.functions.clear();
  for (const auto& function : description.functions()) {
    in_context([&] { return fmt::format("function '{}'", function.name()); },
               [&] { model.functions.push_back(function_from_proto(function.name(), function)); });
  }
  if (!model.multi_function) model.functions.push_back(function_from_proto("", description));
}

pb::ModelDescription description_to_proto(const Model& model, bool strip_metadata) {
  pb::ModelDescription description;
  if (!description.ParseFromString(model.description_bytes)) description.Clear();
  if (model.multi_function || model.functions.size() != 1) {
    functions_to_proto(model, &description);
  } else {
    description.clear_functions();
    description.clear_defaultfunctionname();
    function_to_proto(model.functions.front(), &description);
  }
  if (strip_metadata) {
    strip(&description);
  } else {
    metadata_to_proto(model.metadata, &description);
  }
  return description;
}

}  // namespace mw::package
