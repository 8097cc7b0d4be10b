// What the tests of this room share: fixtures, a temporary folder, and catching an error's text.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <string>
#include <utility>

#include "base/testing.h"
#include "millwright/error.hpp"

namespace mw::testing {

inline std::string read_file(const std::filesystem::path& path) {
  std::ostringstream bytes;
  bytes << std::ifstream(path, std::ios::binary).rdbuf();
  return std::move(bytes).str();
}

inline void write_file(const std::filesystem::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

inline std::filesystem::path fixture(const std::string& name) {
  const char* data = std::getenv("MW_TEST_DATA");
  return std::filesystem::path(data == nullptr ? "tests/data" : data) / "tokenizer" / name;
}

inline const nlohmann::json& expected() {
  static const nlohmann::json all = nlohmann::json::parse(read_file(fixture("expected.json")));
  return all;
}

// A file of the larger suites; absent where they are not installed.
inline std::optional<std::string> shared(const std::string& name) {
  const char* root = std::getenv("MW_SHARED");
  if (root == nullptr) return std::nullopt;
  const std::filesystem::path path = std::filesystem::path(root) / name;
  if (!std::filesystem::exists(path)) return std::nullopt;
  return path.string();
}

struct Caught {
  ErrorCode code;
  std::string text;
};

// The error that `body` throws; a failure of the test if it throws none.
template <class Body>
Caught caught(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  ADD_FAILURE() << "nothing was thrown";
  return {ErrorCode::kInternal, ""};
}

}  // namespace mw::testing
