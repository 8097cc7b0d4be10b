// What the larger suites share: where they lie, and the summary line that `make test` prints.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace mw::suite {

// The folder of the larger suites, or empty when it is not there.
inline std::filesystem::path shared() {
  const char* folder = std::getenv("MW_SHARED");
  return folder != nullptr && std::filesystem::is_directory(folder) ? folder : "";
}

// Appends `NAME: N passed, N failed, N skipped` to the file MW_SUMMARY names, and prints it.
// Throws std::invalid_argument for a NAME with a space: tools/count_tests.py could not read it.
inline void summarise(const std::string& name, int64_t passed, int64_t failed,
                      int64_t skipped = 0) {
  if (name.empty() || name.find(' ') != std::string::npos)
    throw std::invalid_argument("a suite's name must be one word, got '" + name + "'");
  const std::string line =
      fmt::format("{}: {} passed, {} failed, {} skipped\n", name, passed, failed, skipped);
  fmt::print("{}", line);
  if (const char* path = std::getenv("MW_SUMMARY")) std::ofstream(path, std::ios::app) << line;
}

// Entries of a folder in a fixed order.
inline std::vector<std::filesystem::path> sorted_entries(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> entries;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    entries.push_back(entry.path());
  std::sort(entries.begin(), entries.end());
  return entries;
}

}  // namespace mw::suite
