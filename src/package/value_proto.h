// Types and constants as MIL protobuf messages, both ways.
#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "MIL.pb.h"
#include "ir/constant.h"

namespace mw::package {

namespace pb = millwright::proto;

// Throws invalid_model for what is not a MIL type, unsupported for tensors of unknown rank.
ir::Type type_from_proto(const pb::mil::ValueType& type);
void type_to_proto(const ir::Type& type, pb::mil::ValueType* out);

// `blobs` may be null: then a blob is an error. The decoding follows the declared dtype and
// whichever field holds the elements, since writers differ; counts and ranges are checked.
ir::ConstantPtr constant_from_proto(const pb::mil::Value& value, ir::BlobResolver* blobs);

// Where a constant is to lie; nullopt for an immediate value.
using BlobOf = std::function<std::optional<ir::BlobRef>(const ir::Constant&)>;
void constant_to_proto(const ir::Constant& constant, const BlobOf& blob_of, pb::mil::Value* out);

// Protobuf strings must be UTF-8; readers refuse a file with others.
bool is_utf8(std::string_view text);

}  // namespace mw::package
