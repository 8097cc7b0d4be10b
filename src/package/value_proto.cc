// Constants as MIL protobuf messages: one switch per direction, by dtype and oneof.
#include "package/value_proto.h"

#include <cstring>
#include <utility>

#include "base/error.h"

namespace mw::package {
namespace {

using pb::mil::TensorValue;

// The number of elements of a tensor constant, its byte size known to fit in memory addresses.
int64_t count_in(const ir::Type& type) {
  if (!type.is_static()) {
    fail(ErrorCode::kInvalidModel, "a constant: expected known extents, got {}", type.str());
  }
  try {
    const int64_t count = count_of(type.shape());
    static_cast<void>(bytes_of(type.dtype(), count));
    return count;
  } catch (const Error& e) {
    fail(ErrorCode::kInvalidModel, "a constant: {}", e.message());
  }
}

void expect_count(const ir::Type& type, int64_t expected, int64_t got, std::string_view unit) {
  if (got != expected) {
    fail(ErrorCode::kInvalidModel, "a constant of type {}: expected {} {}, got {}", type.str(),
         expected, unit, got);
  }
}

[[noreturn]] void mismatch(const ir::Type& type, std::string_view field) {
  fail(ErrorCode::kInvalidModel, "a constant of type {}: its elements cannot be given as {}",
       type.str(), field);
}

// The smallest and largest value of an integer dtype of at most 63 bits.
std::pair<int64_t, int64_t> bounds_of(DType dtype) {
  const int bits = bit_width(dtype);
  const bool is_signed =
      dtype == DType::kI4 || dtype == DType::kI8 || dtype == DType::kI16 || dtype == DType::kI32;
  const int64_t top = int64_t{1} << (is_signed ? bits - 1 : bits);
  return {is_signed ? -top : 0, top - 1};
}

template <class Values>
Tensor integers(const ir::Type& type, const Values& values, std::string_view field) {
  const DType dtype = type.dtype();
  if (!is_integer(dtype)) mismatch(type, field);
  expect_count(type, count_in(type), values.size(), "elements");
  Tensor tensor(dtype, type.shape());
  const bool wide = bit_width(dtype) == 64;
  const auto [low, high] = wide ? std::pair<int64_t, int64_t>{} : bounds_of(dtype);
  for (int i = 0; i < values.size(); ++i) {
    const int64_t value = values.Get(i);
    if (!wide && (value < low || value > high)) {
      fail(ErrorCode::kInvalidModel, "a constant of type {}: expected elements in [{}, {}], got {}",
           type.str(), low, high, value);
    }
    tensor.set_integer(i, value);
  }
  return tensor;
}

template <class Values>
Tensor floats(const ir::Type& type, const Values& values, std::string_view field) {
  if (!is_float(type.dtype())) mismatch(type, field);
  expect_count(type, count_in(type), values.size(), "elements");
  Tensor tensor(type.dtype(), type.shape());
  using Element = std::decay_t<decltype(values.Get(0))>;
  if (type.dtype() == dtype_of<Element>()) {
    if (!values.empty()) {
      std::memcpy(tensor.mutable_raw(), values.data(),
                  sizeof(Element) * static_cast<size_t>(values.size()));
    }
    return tensor;
  }
  for (int i = 0; i < values.size(); ++i) tensor.set_number(i, values.Get(i));
  return tensor;
}

Tensor bools(const ir::Type& type, const TensorValue& value) {
  if (type.dtype() != DType::kBool) mismatch(type, "bools");
  const auto& values = value.bools().values();
  expect_count(type, count_in(type), values.size(), "elements");
  Tensor tensor(DType::kBool, type.shape());
  for (int i = 0; i < values.size(); ++i) tensor.set_integer(i, values.Get(i) ? 1 : 0);
  return tensor;
}

Tensor strings(const ir::Type& type, const TensorValue& value) {
  if (type.dtype() != DType::kString) mismatch(type, "strings");
  const auto& values = value.strings().values();
  expect_count(type, count_in(type), values.size(), "elements");
  Tensor tensor(DType::kString, type.shape());
  for (int i = 0; i < values.size(); ++i) tensor.mutable_data<std::string>()[i] = values.Get(i);
  return tensor;
}

Tensor raw_bytes(const ir::Type& type, const TensorValue& value) {
  if (type.dtype() == DType::kString) mismatch(type, "bytes");
  const std::string& bytes = value.bytes().values();
  expect_count(type, bytes_of(type.dtype(), count_in(type)), static_cast<int64_t>(bytes.size()),
               "bytes");
  Tensor tensor(type.dtype(), type.shape());
  if (!bytes.empty()) std::memcpy(tensor.mutable_raw(), bytes.data(), bytes.size());
  if (type.dtype() == DType::kBool) {
    for (const char byte : bytes) {
      if (byte != 0 && byte != 1) mismatch(type, "bytes other than 0 and 1");
    }
  }
  return tensor;
}

Tensor tensor_from_proto(const ir::Type& type, const TensorValue& value) {
  switch (value.value_case()) {
    case TensorValue::kFloats:
      return floats(type, value.floats().values(), "floats");
    case TensorValue::kDoubles:
      return floats(type, value.doubles().values(), "doubles");
    case TensorValue::kInts:
      return integers(type, value.ints().values(), "ints");
    case TensorValue::kLongInts:
      return integers(type, value.longints().values(), "longInts");
    case TensorValue::kBools:
      return bools(type, value);
    case TensorValue::kStrings:
      return strings(type, value);
    case TensorValue::kBytes:
      return raw_bytes(type, value);
    case TensorValue::VALUE_NOT_SET:
      break;
  }
  expect_count(type, count_in(type), 0, "elements");
  return Tensor(type.dtype(), type.shape());
}

void expect_fit(const ir::Type& declared, const ir::Constant& child) {
  if (!ir::compatible(declared, child.type())) {
    fail(ErrorCode::kInvalidModel, "an element of a constant: expected {}, got {}", declared.str(),
         child.type().str());
  }
}

// Reads `values` as the elements of `type`; declared(i) is what element i must be.
template <class Values, class Declared>
ir::ConstantPtr sequence(const ir::Type& type, const Values& values, const Declared& declared,
                         ir::BlobResolver* blobs) {
  std::vector<ir::ConstantPtr> children;
  for (int i = 0; i < values.size(); ++i) {
    children.push_back(constant_from_proto(values.Get(i), blobs));
    expect_fit(declared(i), *children.back());
  }
  return ir::Constant::aggregate(type, std::move(children));
}

ir::ConstantPtr aggregate_from_proto(const ir::Type& type, const pb::mil::Value& value,
                                     ir::BlobResolver* blobs) {
  const pb::mil::Value::ImmediateValue& immediate = value.immediatevalue();
  switch (type.kind()) {
    case ir::Type::Kind::kList: {
      const int size = immediate.list().values_size();
      if (type.length() >= 0) expect_count(type, type.length(), size, "elements");
      return sequence(
          type, immediate.list().values(), [&](int) { return type.element(); }, blobs);
    }
    case ir::Type::Kind::kTuple: {
      const int size = immediate.tuple().values_size();
      expect_count(type, static_cast<int64_t>(type.elements().size()), size, "elements");
      return sequence(
          type, immediate.tuple().values(),
          [&](int i) { return type.elements()[static_cast<size_t>(i)]; }, blobs);
    }
    case ir::Type::Kind::kDict: {
      std::vector<ir::ConstantPtr> children;
      for (const auto& pair : immediate.dictionary().values()) {
        children.push_back(constant_from_proto(pair.key(), blobs));
        expect_fit(type.elements()[0], *children.back());
        children.push_back(constant_from_proto(pair.value(), blobs));
        expect_fit(type.elements()[1], *children.back());
      }
      return ir::Constant::aggregate(type, std::move(children));
    }
    default:
      fail(ErrorCode::kInvalidModel, "a constant cannot have type {}", type.str());
  }
}

void put_string(const std::string& text, std::string* out) {
  if (!is_utf8(text)) {
    fail(ErrorCode::kInvalidArgument,
         "a string constant: expected UTF-8, got other bytes; the format cannot hold it");
  }
  *out = text;
}

void tensor_to_proto(const Tensor& tensor, TensorValue* out) {
  constexpr int64_t kMost = int64_t{1} << 30;  // a protobuf file ends at 2 GiB
  if (tensor.nbytes() > kMost) {
    fail(ErrorCode::kInvalidArgument,
         "a constant of {} bytes: expected at most {} inside the model file; write a "
         ".mlpackage or .mlmodelc, which have a weight file",
         tensor.nbytes(), kMost);
  }
  const auto count = static_cast<int>(tensor.count());
  const auto bytes = static_cast<size_t>(tensor.nbytes());
  switch (tensor.dtype()) {
    case DType::kF32: {
      auto* values = out->mutable_floats()->mutable_values();
      values->Resize(count, 0);
      if (count > 0) std::memcpy(values->mutable_data(), tensor.raw(), bytes);
      return;
    }
    case DType::kF64: {
      auto* values = out->mutable_doubles()->mutable_values();
      values->Resize(count, 0);
      if (count > 0) std::memcpy(values->mutable_data(), tensor.raw(), bytes);
      return;
    }
    case DType::kBool: {
      auto* values = out->mutable_bools();
      for (int i = 0; i < count; ++i) values->add_values(tensor.integer_at(i) != 0);
      return;
    }
    case DType::kString: {
      auto* values = out->mutable_strings();
      for (const std::string& text : tensor.values<std::string>()) {
        put_string(text, values->add_values());
      }
      return;
    }
    case DType::kI16:
    case DType::kU16:
    case DType::kI32: {
      auto* values = out->mutable_ints();
      for (int i = 0; i < count; ++i) {
        values->add_values(static_cast<int32_t>(tensor.integer_at(i)));
      }
      return;
    }
    case DType::kI64:
    case DType::kU64: {
      auto* values = out->mutable_longints();
      for (int i = 0; i < count; ++i) values->add_values(tensor.integer_at(i));
      return;
    }
    default:
      out->mutable_bytes()->mutable_values()->assign(static_cast<const char*>(tensor.raw()), bytes);
  }
}

}  // namespace

ir::ConstantPtr constant_from_proto(const pb::mil::Value& value, ir::BlobResolver* blobs) {
  const ir::Type type = type_from_proto(value.type());
  if (value.value_case() == pb::mil::Value::kBlobFileValue) {
    const ir::BlobRef ref{value.blobfilevalue().filename(), value.blobfilevalue().offset()};
    if (!type.is_tensor() || type.dtype() == DType::kString) {
      fail(ErrorCode::kInvalidModel, "a blob: expected a numeric tensor type, got {}", type.str());
    }
    count_in(type);
    if (blobs == nullptr) {
      fail(ErrorCode::kInvalidModel, "a blob in '{}': there are no weight files here", ref.path);
    }
    return ir::Constant::blob(blobs->resolve(type, ref), ref);
  }
  if (!type.is_tensor()) return aggregate_from_proto(type, value, blobs);
  return ir::Constant::tensor(tensor_from_proto(type, value.immediatevalue().tensor()));
}

void constant_to_proto(const ir::Constant& constant, const BlobOf& blob_of, pb::mil::Value* out) {
  type_to_proto(constant.type(), out->mutable_type());
  if (const std::optional<ir::BlobRef> ref = blob_of ? blob_of(constant) : std::nullopt) {
    out->mutable_blobfilevalue()->set_filename(ref->path);
    out->mutable_blobfilevalue()->set_offset(ref->offset);
    return;
  }
  auto* immediate = out->mutable_immediatevalue();
  const std::vector<ir::ConstantPtr>& children = constant.children();
  switch (constant.type().kind()) {
    case ir::Type::Kind::kTensor:
      tensor_to_proto(constant.value(), immediate->mutable_tensor());
      return;
    case ir::Type::Kind::kList:
      immediate->mutable_list();
      for (const auto& child : children) {
        constant_to_proto(*child, blob_of, immediate->mutable_list()->add_values());
      }
      return;
    case ir::Type::Kind::kTuple:
      immediate->mutable_tuple();
      for (const auto& child : children) {
        constant_to_proto(*child, blob_of, immediate->mutable_tuple()->add_values());
      }
      return;
    case ir::Type::Kind::kDict:
      immediate->mutable_dictionary();
      for (size_t i = 0; i + 1 < children.size(); i += 2) {
        auto* pair = immediate->mutable_dictionary()->add_values();
        constant_to_proto(*children[i], blob_of, pair->mutable_key());
        constant_to_proto(*children[i + 1], blob_of, pair->mutable_value());
      }
      return;
    case ir::Type::Kind::kState:
      MW_CHECK(false);
      return;
  }
}

}  // namespace mw::package
