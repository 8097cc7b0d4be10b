// metadata.json of a compiled model (.mlmodelc): written whole, read only as a hint.
#pragma once

#include <string>
#include <string_view>

#include "package/package.h"

namespace mw::package {

// What coremldata.bin would have said, for a folder that lacks it: metadata, default function, and
// which features are images or optional. Anything that does not fit is passed over.
void apply_metadata_hints(std::string_view json, Model& model);

// False also when the text says nothing, or is no JSON.
bool says_updatable(std::string_view json);

std::string metadata_json_text(const Model& model, std::string_view class_name,
                               bool strip_metadata);

}  // namespace mw::package
