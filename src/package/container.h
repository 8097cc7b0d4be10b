// Which of the three containers a path holds, and which one its name asks for.
#pragma once

#include <filesystem>
#include <optional>

#include "package/package.h"

namespace mw::package {

// Whether a regular file is there, links followed. Throws io where the system does not tell.
bool is_file(const std::filesystem::path& path);

// Of a folder, by what lies in it; nothing when it is no Core ML model.
std::optional<Container> container_in(const std::filesystem::path& folder);
// Throws io or invalid_model when there is no model.
Container container_at(const std::filesystem::path& path);
// By the extension, which a slash may follow; nothing for any other.
std::optional<Container> container_named(const std::filesystem::path& path);
// The same; throws invalid_argument for any other.
Container container_for(const std::filesystem::path& path);

}  // namespace mw::package
