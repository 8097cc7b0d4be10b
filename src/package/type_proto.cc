// MIL types as protobuf messages, both ways.
#include <array>
#include <limits>
#include <utility>

#include "base/error.h"
#include "package/value_proto.h"

namespace mw::package {
namespace {

using pb::mil::Dimension;
using pb::mil::ValueType;

constexpr auto kDTypes = std::to_array<std::pair<int, DType>>({
    {pb::mil::BOOL, DType::kBool},
    {pb::mil::STRING, DType::kString},
    {pb::mil::FLOAT16, DType::kF16},
    {pb::mil::FLOAT32, DType::kF32},
    {pb::mil::FLOAT64, DType::kF64},
    {pb::mil::BFLOAT16, DType::kBF16},
    {pb::mil::FLOAT8E4M3FN, DType::kF8E4M3FN},
    {pb::mil::FLOAT8E5M2, DType::kF8E5M2},
    {pb::mil::INT4, DType::kI4},
    {pb::mil::INT8, DType::kI8},
    {pb::mil::INT16, DType::kI16},
    {pb::mil::INT32, DType::kI32},
    {pb::mil::INT64, DType::kI64},
    {pb::mil::UINT1, DType::kU1},
    {pb::mil::UINT2, DType::kU2},
    {pb::mil::UINT3, DType::kU3},
    {pb::mil::UINT4, DType::kU4},
    {pb::mil::UINT6, DType::kU6},
    {pb::mil::UINT8, DType::kU8},
    {pb::mil::UINT16, DType::kU16},
    {pb::mil::UINT32, DType::kU32},
    {pb::mil::UINT64, DType::kU64},
});

int64_t extent_from_proto(const Dimension& dimension) {
  if (dimension.dimension_case() == Dimension::kConstant) {
    const uint64_t size = dimension.constant().size();
    if (size > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      fail(ErrorCode::kInvalidModel, "a tensor type: expected an extent below 2^63, got {}", size);
    }
    return static_cast<int64_t>(size);
  }
  if (dimension.dimension_case() == Dimension::kUnknown && dimension.unknown().variadic()) {
    fail(ErrorCode::kUnsupported, "a tensor type: a dimension that stands for several");
  }
  return ir::kUnknownDim;
}

void extent_to_proto(int64_t extent, Dimension* out) {
  if (extent < 0) {
    out->mutable_unknown();
  } else {
    out->mutable_constant()->set_size(static_cast<uint64_t>(extent));
  }
}

// Converters write an unknown rank as one dimension that stands for any number of them; rank -1
// means the same.
bool is_unranked(const pb::mil::TensorType& type) {
  if (type.dimensions_size() == 0) return type.rank() == -1;
  return type.dimensions_size() == 1 && (type.rank() == 1 || type.rank() == -1) &&
         type.dimensions(0).unknown().variadic();
}

ir::Type tensor_type_from_proto(const pb::mil::TensorType& type) {
  for (const auto& [code, dtype] : kDTypes) {
    if (code != type.datatype()) continue;
    if (is_unranked(type)) return ir::Type::unranked(dtype);
    if (type.rank() != type.dimensions_size() || type.rank() > static_cast<int64_t>(ir::kMaxRank)) {
      fail(ErrorCode::kInvalidModel,
           "a tensor type: expected {} dimensions, one per rank and at most {}, got {}",
           type.rank(), ir::kMaxRank, type.dimensions_size());
    }
    Shape shape;
    for (const Dimension& dimension : type.dimensions()) {
      shape.push_back(extent_from_proto(dimension));
    }
    return ir::Type::tensor(dtype, std::move(shape));
  }
  fail(ErrorCode::kInvalidModel, "a tensor type: expected a known data type, got number {}",
       static_cast<int>(type.datatype()));
}

}  // namespace

ir::Type type_from_proto(const ValueType& type) {
  switch (type.type_case()) {
    case ValueType::kTensorType:
      return tensor_type_from_proto(type.tensortype());
    case ValueType::kListType:
      return ir::Type::list(type_from_proto(type.listtype().type()),
                            extent_from_proto(type.listtype().length()));
    case ValueType::kTupleType: {
      std::vector<ir::Type> elements;
      for (const ValueType& element : type.tupletype().types()) {
        elements.push_back(type_from_proto(element));
      }
      return ir::Type::tuple(std::move(elements));
    }
    case ValueType::kDictionaryType:
      return ir::Type::dict(type_from_proto(type.dictionarytype().keytype()),
                            type_from_proto(type.dictionarytype().valuetype()));
    case ValueType::kStateType: {
      ir::Type wrapped = type_from_proto(type.statetype().wrappedtype());
      if (!wrapped.is_tensor()) {
        fail(ErrorCode::kInvalidModel, "a state type: expected a tensor inside, got {}",
             wrapped.str());
      }
      return ir::Type::state(std::move(wrapped));
    }
    case ValueType::TYPE_NOT_SET:
      break;
  }
  fail(ErrorCode::kInvalidModel, "expected a type, got none");
}

void type_to_proto(const ir::Type& type, ValueType* out) {
  switch (type.kind()) {
    case ir::Type::Kind::kTensor: {
      auto* tensor = out->mutable_tensortype();
      for (const auto& [code, dtype] : kDTypes) {
        if (dtype == type.dtype()) tensor->set_datatype(static_cast<pb::mil::DataType>(code));
      }
      if (!type.has_rank()) {
        tensor->set_rank(1);
        tensor->add_dimensions()->mutable_unknown()->set_variadic(true);
        return;
      }
      tensor->set_rank(type.rank());
      for (const int64_t extent : type.shape()) extent_to_proto(extent, tensor->add_dimensions());
      return;
    }
    case ir::Type::Kind::kList:
      type_to_proto(type.element(), out->mutable_listtype()->mutable_type());
      extent_to_proto(type.length(), out->mutable_listtype()->mutable_length());
      return;
    case ir::Type::Kind::kTuple:
      out->mutable_tupletype();
      for (const ir::Type& element : type.elements()) {
        type_to_proto(element, out->mutable_tupletype()->add_types());
      }
      return;
    case ir::Type::Kind::kDict:
      type_to_proto(type.elements()[0], out->mutable_dictionarytype()->mutable_keytype());
      type_to_proto(type.elements()[1], out->mutable_dictionarytype()->mutable_valuetype());
      return;
    case ir::Type::Kind::kState:
      type_to_proto(type.element(), out->mutable_statetype()->mutable_wrappedtype());
  }
}

bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<uint8_t>(text[i]);
    const size_t length = lead < 0x80   ? 1
                          : lead < 0xc2 ? 0
                          : lead < 0xe0 ? 2
                          : lead < 0xf0 ? 3
                          : lead < 0xf5 ? 4
                                        : 0;
    if (length == 0 || i + length > text.size()) return false;
    uint32_t point = length == 1 ? lead : lead & (0x7fU >> length);
    for (size_t k = 1; k < length; ++k) {
      const auto next = static_cast<uint8_t>(text[i + k]);
      if ((next & 0xc0) != 0x80) return false;
      point = point << 6 | (next & 0x3f);
    }
    const bool overlong = (length == 3 && point < 0x800) || (length == 4 && point < 0x10000);
    if (overlong || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return false;
    i += length;
  }
  return true;
}

}  // namespace mw::package
