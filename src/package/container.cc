// Telling the containers apart.
#include "package/container.h"

#include <string>
#include <system_error>

#include "base/error.h"

namespace mw::package {
namespace fs = std::filesystem;

bool is_file(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::none) {
    fail(ErrorCode::kIo, "{}: cannot open: {}", path.string(), error.message());
  }
  return fs::is_regular_file(status);
}

std::optional<Container> container_in(const fs::path& folder) {
  if (is_file(folder / "Manifest.json")) return Container::kMlpackage;
  for (const char* name : {"model.mil", "coremldata.bin", "model.espresso.net"}) {
    if (is_file(folder / name)) return Container::kMlmodelc;
  }
  return std::nullopt;
}

Container container_at(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) fail(ErrorCode::kIo, "no such file or folder");
  if (status.type() == fs::file_type::none) {
    fail(ErrorCode::kIo, "cannot open: {}", error.message());
  }
  if (fs::is_regular_file(status)) return Container::kMlmodel;
  if (!fs::is_directory(status)) fail(ErrorCode::kIo, "expected a file or folder");
  if (const auto container = container_in(path)) return *container;
  fail(ErrorCode::kInvalidModel,
       "expected a .mlpackage with Manifest.json or a .mlmodelc with model.mil, found neither "
       "in this folder");
}

std::optional<Container> container_named(const fs::path& path) {
  const fs::path named = path.has_filename() ? path : path.parent_path();
  for (const Container container :
       {Container::kMlmodelc, Container::kMlpackage, Container::kMlmodel}) {
    if (named.extension() == name_of(container)) return container;
  }
  return std::nullopt;
}

Container container_for(const fs::path& path) {
  if (const auto container = container_named(path)) return *container;
  fail(ErrorCode::kInvalidArgument,
       "expected a path that ends in .mlpackage, .mlmodelc or .mlmodel, got '{}'",
       path.filename().string());
}

}  // namespace mw::package
