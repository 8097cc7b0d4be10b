// An ir::Program as a MIL protobuf message, both ways.
#pragma once

#include <memory>

#include "ir/program.h"
#include "package/value_proto.h"

namespace mw::package {

// Names are resolved block by block; a name that is not defined before its use is an error, so
// cycles are errors too. Errors carry function, op and input. `blobs` may be null: blobs are errors
// then.
std::unique_ptr<ir::Program> program_from_proto(const pb::mil::Program& program,
                                                ir::BlobResolver* blobs);

// Every value must be visible under its own name where it is used; a clash is an error.
void program_to_proto(const ir::Program& program, const BlobOf& blob_of, pb::mil::Program* out);

}  // namespace mw::package
