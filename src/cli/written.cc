// package::write(), its notes, and how large the result is.
#include "cli/written.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/printable.h"
#include "base/quantity_text.h"
#include "cli/command.h"
#include "cli/print.h"
#include "package/container.h"

namespace mw::cli {
namespace {

// Of what was just written; a file that has gone since counts nothing.
uint64_t size_of(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  uint64_t bytes = 0;
  const auto add = [&](const fs::path& file) {
    if (!fs::is_regular_file(file, error)) return;
    const auto size = fs::file_size(file, error);
    if (!error) bytes += size;
  };
  add(path);
  for (auto at = fs::recursive_directory_iterator(path, error);
       !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    add(at->path());
  }
  return bytes;
}

}  // namespace

void write_and_tell(const package::Model& model, const std::filesystem::path& out,
                    const package::WriteOptions& options, bool json) {
  for (const std::string& note : package::write(model, out, options)) {
    inform("note: {}\n", printable(note));
  }
  const uint64_t bytes = size_of(out);
  if (json) {
    const auto container = package::container_named(out);
    return print_json({{"output", out.string()},
                       {"container", container ? package::name_of(*container) : "parts"},
                       {"bytes", bytes},
                       {"functions", model.functions.size()},
                       {"weight_bytes", model.weight_bytes()}});
  }
  answer("wrote {}  {}, {} of them weights\n", printable(out.string()), memory_text(bytes),
         memory_text(model.weight_bytes()));
}

}  // namespace mw::cli
