// What `train` writes back: by `diff`, the trained tensors and nothing else, in every container.
#include <regex>
#include <set>

#include "facade_testing.h"
#include "training_cli_testing.h"

namespace mw::testing {
namespace {

using Names = std::set<std::string>;

nlohmann::json json_of(const Answer& answer) {
  const size_t begin = answer.out.find('{'), end = answer.out.rfind('}');
  if (begin == std::string::npos || end == std::string::npos) return nullptr;
  return nlohmann::json::parse(answer.out.substr(begin, end - begin + 1), nullptr, false);
}

class WriteBack : public TrainingCli {
 protected:
  [[nodiscard]] nlohmann::json inspect(const fs::path& package) const {
    const Answer answer =
        millwright({"inspect", package, "--tokenizer", model("tokenizer.json"), "--json"});
    EXPECT_EQ(answer.code, 0) << answer.out;
    return json_of(answer);
  }
  // Names of the weights, those that are trained by default or all.
  [[nodiscard]] Names weights_in(const fs::path& package, bool trainable) const {
    Names names;
    const nlohmann::json facts = inspect(package);
    for (const auto& weight : facts["functions"][0]["weights"]) {
      if (!trainable || weight["trainable"].get<bool>())
        names.insert(weight["name"].get<std::string>());
    }
    return names;
  }
  [[nodiscard]] Names trainable_in(const fs::path& package) const {
    return weights_in(package, true);
  }
  // A few steps of `source`; the answer is JSON.
  [[nodiscard]] Answer train_from(const fs::path& source, const fs::path& target,
                                  const Words& more = {}) const {
    Words words = {"train",        source,
                   "--output",     target,
                   "--data",       scratch("train.txt"),
                   "--tokenizer",  model("tokenizer.json"),
                   "--batch-size", "2",
                   "--seq-len",    "16",
                   "--threads",    "1",
                   "--json",       "--overwrite"};
    if (std::find(more.begin(), more.end(), "--steps") == more.end()) {
      words.insert(words.end(), {"--steps", "3"});
    }
    words.insert(words.end(), more.begin(), more.end());
    Answer answer = millwright(words);
    EXPECT_EQ(answer.code, 0) << answer.out;
    return answer;
  }
  void expect_trained(const fs::path& source, const fs::path& target, const Names& names) const {
    const Answer answer = millwright({"diff", source, target, "--json"});
    EXPECT_EQ(answer.code, 1) << answer.out;
    const nlohmann::json found = json_of(answer);
    ASSERT_TRUE(found.is_object()) << answer.out;
    EXPECT_TRUE(found["interface"].empty()) << found["interface"];
    EXPECT_TRUE(found["operations"].empty()) << found["operations"];
    Names changed;
    for (const auto& weight : found["weights"]) {
      changed.insert(weight["name"].get<std::string>());
      EXPECT_GT(weight["max_difference"].get<double>(), 0) << weight;
      EXPECT_FALSE(weight.contains("type")) << weight;
    }
    EXPECT_EQ(changed, names);
    EXPECT_FALSE(names.empty());
    for (const auto& line : found["metadata"]) {
      EXPECT_TRUE(has(line, "millwright.trained_")) << line;
    }
  }
  [[nodiscard]] std::string compiled(const fs::path& source) const {
    const std::string target = scratch("source.mlmodelc");
    const Answer answer = millwright({"convert", source, target});
    EXPECT_EQ(answer.code, 0) << answer.out;
    return target;
  }
  [[nodiscard]] static std::string compiled_weights(const fs::path& model) {
    return read_file(model / "weights/weight.bin");
  }
};

TEST_F(WriteBack, a_full_run_changes_all_trained_tensors_and_nothing_else) {
  const fs::path source = model("student.mlpackage");
  const Names names = trainable_in(source);
  EXPECT_EQ(names.size(), 20U);
  EXPECT_GT(weights_in(source, false).size(), names.size());
  (void)train_from(source, scratch("a.mlpackage"));
  expect_trained(source, scratch("a.mlpackage"), names);
}

TEST_F(WriteBack, a_glob_changes_what_it_names_and_nothing_else) {
  const fs::path source = model("student.mlpackage");
  (void)train_from(source, scratch("a.mlpackage"), {"--trainable", "layers_1_*norm*", "*_wq_*"});
  expect_trained(source, scratch("a.mlpackage"),
                 {"layers_0_attention_wq_weight", "layers_1_attention_norm_weight",
                  "layers_1_attention_wq_weight", "layers_1_ffn_norm_weight"});
}

TEST_F(WriteBack, a_compiled_model_trains_into_both_containers) {
  const fs::path source = compiled(model("student.mlpackage"));
  const Names names = trainable_in(source);
  EXPECT_EQ(names.size(), 20U);
  for (const char* target : {"a.mlmodelc", "b.mlpackage"}) {
    (void)train_from(source, scratch(target));
    expect_trained(source, scratch(target), names);
  }
  EXPECT_TRUE(compiled_weights(scratch("a.mlmodelc")) == weights(scratch("b.mlpackage")));
}

TEST_F(WriteBack, no_step_leaves_the_weights_of_both_containers_byte_for_byte) {
  const fs::path source = compiled(model("student.mlpackage"));
  const std::string before = compiled_weights(source);
  ASSERT_FALSE(before.empty());
  for (const fs::path& from : {source, fs::path(model("student.mlpackage"))}) {
    (void)train_from(from, scratch("a.mlmodelc"), {"--steps", "0"});
    (void)train_from(from, scratch("b.mlpackage"), {"--steps", "0"});
    EXPECT_TRUE(compiled_weights(scratch("a.mlmodelc")) == before);
    EXPECT_TRUE(weights(scratch("b.mlpackage")) == before);
    EXPECT_EQ(millwright({"diff", from, scratch("a.mlmodelc")}).code, 0);
    EXPECT_EQ(millwright({"diff", from, scratch("b.mlpackage")}).code, 0);
  }
}

TEST_F(WriteBack, a_trained_model_replaces_its_source) {
  const fs::path source = scratch("own.mlpackage");
  fs::copy(model("student.mlpackage"), source, fs::copy_options::recursive);
  (void)train_from(source, source);
  expect_trained(model("student.mlpackage"), source, trainable_in(source));
}

// --- fp16 packages --------------------------------------------------------------------------

Names named_in(const nlohmann::json& warnings, const std::string& ending) {
  const std::regex form("parameter '([^']+)': .* " + ending);
  Names names;
  for (const auto& row : warnings) {
    const auto warning = row.get<std::string>();
    std::smatch match;
    if (std::regex_match(warning, match, form)) names.insert(match[1].str());
  }
  return names;
}

TEST_F(WriteBack, an_fp16_package_trains_in_fp32_and_is_written_in_fp16) {
  MW_SHARED_MODEL(source, "student-fp16.mlpackage");
  const Names names = trainable_in(source);
  EXPECT_EQ(names.size(), 20U);
  const nlohmann::json outcome = json_of(train_from(source, scratch("a.mlpackage")));
  EXPECT_TRUE(outcome["warnings"].empty()) << outcome["warnings"];
  expect_trained(source, scratch("a.mlpackage"), names);
  const nlohmann::json facts = inspect(scratch("a.mlpackage"));
  for (const auto& weight : facts["functions"][0]["weights"]) {
    if (!names.contains(weight["name"].get<std::string>())) continue;
    EXPECT_EQ(weight["dtype"], "fp16") << weight;
  }
  EXPECT_EQ(weights(scratch("a.mlpackage")).size(), weights(source).size());
  int masters = 0;
  for (const auto& [name, tensor] : last_state("a")) {
    if (name == "step") continue;
    EXPECT_EQ(tensor.dtype(), DType::kF32) << name;
    ++masters;
  }
  EXPECT_EQ(masters, 3 * 20);  // with two moments each
}

// Numbers near 1, as weights of norms are, have fp16 neighbours 5e-4 or more away; most others are
// smaller, and in each of those tensors some number is small enough to move.
TEST_F(WriteBack, changes_that_vanish_in_fp16_are_told_by_name) {
  MW_SHARED_MODEL(source, "student-fp16.mlpackage");
  const nlohmann::json outcome =
      json_of(train_from(source, scratch("a.mlpackage"), {"--lr", "1e-6"}));
  Names norms, others;
  for (const std::string& name : trainable_in(source)) {
    (has(name, "norm") ? norms : others).insert(name);
  }
  EXPECT_EQ(norms.size(), 5U);
  EXPECT_EQ(named_in(outcome["warnings"], "too small for fp16 and vanish"), norms);
  expect_trained(source, scratch("a.mlpackage"), others);
}

TEST_F(WriteBack, numbers_that_overflow_fp16_are_told_by_name) {
  MW_SHARED_MODEL(source, "student-fp16.mlpackage");
  const nlohmann::json outcome = json_of(train_from(
      source, scratch("a.mlpackage"),
      {"--lr", "1e-3", "--steps", "1", "--group", "layers_0_w1_*:lr=1e5", "*_wq_*:lr=1e5"}));
  Names expected;
  for (const std::string& name : trainable_in(source)) {
    if (has(name, "layers_0_w1_") || has(name, "_wq_")) expected.insert(name);
  }
  EXPECT_EQ(expected.size(), 3U);
  EXPECT_EQ(named_in(outcome["warnings"], "overflow fp16"), expected);
}

}  // namespace
}  // namespace mw::testing
