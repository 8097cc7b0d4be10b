// The lists of passes, against the page that shows them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "api/pipeline.h"
#include "base/error.h"

namespace mw {
namespace {

namespace fs = std::filesystem;

fs::path root() { return fs::path(std::getenv("MW_EXAMPLES")).parent_path(); }

std::string page() {
  std::ifstream file(root() / "docs/passes.md");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// The rows of the table under a heading, without those of its head.
std::vector<std::string> rows_under(const std::string& heading) {
  std::istringstream lines(page());
  std::vector<std::string> rows;
  std::string line;
  bool here = false;
  while (std::getline(lines, line)) {
    if (line.starts_with("## ")) here = line == "## " + heading;
    if (here && line.starts_with("| `")) rows.push_back(line);
  }
  return rows;
}

std::vector<std::string> rows_of_lists() {
  std::vector<std::string> rows;
  for (const auto& list : all_pipelines()) {
    std::string names;
    for (const auto& pass : list.passes) {
      names += fmt::format("{}`{}`", names.empty() ? "" : ", ", pass.name);
    }
    rows.push_back(fmt::format("| `{}` | {} | {} |", list.name, list.when, names));
  }
  return rows;
}

std::vector<std::string> rows_of_passes() {
  std::vector<std::string> rows;
  for (const auto& list : all_pipelines()) {
    for (const auto& pass : list.passes) {
      const std::string row = fmt::format("| `{}` | {} |", pass.name, pass.does);
      if (std::ranges::find(rows, row) == rows.end()) rows.push_back(row);
    }
  }
  return rows;
}

TEST(pipelines, are_those_that_the_page_shows) {
  EXPECT_EQ(rows_under("The lists"), rows_of_lists());
}

TEST(passes, are_those_that_the_page_shows) {
  std::vector<std::string> want = rows_of_passes(), got = rows_under("The passes");
  std::ranges::sort(want);
  std::ranges::sort(got);
  EXPECT_EQ(got, want);
}

TEST(passes, have_one_meaning_per_name_and_names_of_one_word_in_snake_case) {
  std::map<std::string_view, std::string_view> meanings;
  for (const auto& list : all_pipelines()) {
    for (const auto& pass : list.passes) {
      EXPECT_EQ(meanings.emplace(pass.name, pass.does).first->second, pass.does) << pass.name;
      EXPECT_TRUE(std::ranges::all_of(pass.name, [](unsigned char c) {
        return std::islower(c) != 0 || c == '_';
      })) << pass.name;
    }
  }
}

TEST(passes, that_are_asked_for_and_not_there_are_answered_with_those_that_are) {
  try {
    (void)watch_of({.print_after = {"precision", "precison"}});
    ADD_FAILURE() << "no error";
  } catch (const Error& e) {
    const std::string text = e.what();
    EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
    EXPECT_TRUE(text.starts_with("print_after: expected all or one of adapters, precision, "))
        << text;
    EXPECT_TRUE(text.ends_with(", sink_casts, got 'precison'")) << text;
  }
}

}  // namespace
}  // namespace mw
