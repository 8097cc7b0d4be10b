// The validation loss of compressed language models against that of their decompressed weights.
//
// The reference losses were computed with compressed weights and exact rotary tables; the packages
// also hold those tables (cos, sin) compressed. Eight bits do not show; a palette of 8 or 16
// entries and dropping half of the numbers do. There the exact tables are put back first.
#include <gtest/gtest.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "package/testing.h"
#include "suite.h"

namespace mw {
namespace {

namespace fs = std::filesystem;

constexpr double kTolerance = 2e-4;
constexpr const char* kTables[] = {"cos_to_fp16", "sin_to_fp16"};

struct Row {
  const char* name;   // in the reference
  bool exact_tables;  // put back before the evaluation
};
constexpr Row kRows[] = {{"fp16", false},
                         {"int8", false},
                         {"int4-block32-ios18", false},
                         {"lut4-ios16", true},
                         {"lut3-grouped-ios18", true},
                         {"sparse-ios18", true}};

ir::Operation* producer_of(const package::Model& model, const std::string& prefix) {
  ir::Operation* found = nullptr;
  for (const auto& op : model.program->functions.front()->body.ops) {
    if (!op->outputs.empty() && op->outputs[0]->name.starts_with(prefix)) found = op.get();
  }
  return found;
}

// `path` with the tables of `plain` in place of its compressed ones.
void write_with_exact_tables(const fs::path& path, const fs::path& plain, const fs::path& out) {
  const package::Model model = package::read(path), exact = package::read(plain);
  for (const char* table : kTables) {
    ir::Operation* compressed = producer_of(model, std::string(table) + "_");
    const ir::Operation* original = producer_of(exact, table);
    ASSERT_TRUE(compressed != nullptr && original != nullptr && original->is_const()) << table;
    ASSERT_TRUE(compressed->outputs[0]->type == original->outputs[0]->type);
    compressed->type = ir::kConstOp;
    compressed->inputs.clear();
    compressed->attributes.clear();
    ir::set_attribute(compressed->attributes, "name", ir::Constant::string(table));
    ir::set_attribute(
        compressed->attributes, "val",
        ir::Constant::tensor(ir::find_attribute(original->attributes, "val")->value()));
  }
  package::write(model, out);
}

nlohmann::json evaluate(const fs::path& model, const fs::path& tokenizer) {
  const std::string text = std::string(std::getenv("MW_EXAMPLES")) + "/shakespeare/valid.txt";
  const std::string command =
      fmt::format("'{}' eval '{}' --tokenizer '{}' --data '{}' --seq-len 128 --json 2>/dev/null",
                  std::getenv("MW_CLI"), model.string(), tokenizer.string(), text);
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return {};
  std::string out(1 << 16, '\0');
  out.resize(fread(out.data(), 1, out.size(), pipe));
  pclose(pipe);
  return nlohmann::json::parse(out, nullptr, false);
}

TEST(CompressedModels, have_the_loss_of_their_decompressed_weights) {
  if (suite::shared().empty()) GTEST_SKIP() << "MW_SHARED is not set";
  const fs::path models = suite::shared() / "models";
  const auto reference =
      nlohmann::json::parse(std::ifstream(models / "shakespeare-compressed-losses.json"));
  const package::testing::TempFolder folder;
  int64_t passed = 0, failed = 0;
  for (const Row& row : kRows) {
    fs::path path = models / fmt::format("shakespeare-{}.mlpackage", row.name);
    if (row.exact_tables) {
      const fs::path out = folder / "exact.mlpackage";
      ASSERT_NO_FATAL_FAILURE(
          write_with_exact_tables(path, models / "shakespeare-fp16.mlpackage", out));
      path = out;
    }
    const auto answer = evaluate(path, models / "shakespeare-tokenizer.json");
    ASSERT_TRUE(answer.is_object()) << row.name;
    EXPECT_EQ(answer["windows"], reference[row.name]["windows"]);
    const double loss = answer["mean_loss"], expected = reference[row.name]["mean_loss"];
    fmt::print("{:20} loss {:.5f}, reference {:.5f}{}\n", row.name, loss, expected,
               row.exact_tables ? ", exact tables" : "");
    EXPECT_NEAR(loss, expected, kTolerance) << row.name;
    ++(std::abs(loss - expected) <= kTolerance ? passed : failed);
  }
  suite::summarise("compressed_eval", passed, failed);
}

}  // namespace
}  // namespace mw
