// read_spec(): a serialized model (the content of a .mlmodel file) to a Model.
#pragma once

#include <span>

#include "ir/constant.h"
#include "package/package.h"

namespace mw::package {

// Fills program, spec_version, functions, default_function, metadata. `blobs` may be null: blobs
// are errors then. Throws as read() does.
void read_spec(std::span<const std::byte> bytes, ir::BlobResolver* blobs, Model& model);

}  // namespace mw::package
