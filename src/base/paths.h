// What lies at a path, where the answer decides and no error is meant: "no" where the system does
// not tell, since opening it says why.
#pragma once

#include <filesystem>

namespace mw {

// Links are followed.
bool is_there(const std::filesystem::path& path);
bool is_folder(const std::filesystem::path& path);

}  // namespace mw
