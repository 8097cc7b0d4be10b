// A model written by a command, and what is said of it.
#pragma once

#include <filesystem>

#include "package/package.h"

namespace mw::cli {

void write_and_tell(const package::Model& model, const std::filesystem::path& out,
                    const package::WriteOptions& options, bool json);

}  // namespace mw::cli
