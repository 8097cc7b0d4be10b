// `run` writes what a classifier gives, text and dictionaries too, and the outputs that are chosen.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/npy_file.h"
#include "base/tensor_file.h"

namespace mw {
namespace {

namespace fs = std::filesystem;

struct Answer {
  int code = -1;
  std::string out, err;
};

std::string text_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class RunOutput : public testing::Test {
 protected:
  void SetUp() override {
    const char *command = std::getenv("MW_CLI"), *data = std::getenv("MW_TEST_DATA");
    if (command == nullptr || data == nullptr) GTEST_SKIP() << "MW_CLI does not name the command";
    command_ = command;
    classifier_ = fs::path(data) / "packages/classifier.mlpackage";
    folder_ = fs::temp_directory_path() / ("mw_run_output_" + std::to_string(getpid()));
    fs::create_directories(folder_);
    write_safetensors(path("x.safetensors"), {{"x", Tensor::from<float>({0.1F, 3, -1}, {1, 3})}});
  }
  void TearDown() override {
    if (!folder_.empty()) fs::remove_all(folder_);
  }
  [[nodiscard]] std::string path(const std::string& name) const { return folder_ / name; }
  [[nodiscard]] Answer run(const std::vector<std::string>& arguments) const {
    std::string line =
        "'" + command_ + "' run '" + classifier_ + "' --inputs '" + path("x.safetensors") + "'";
    for (const std::string& argument : arguments) line += " '" + argument + "'";
    line += " >'" + path("out") + "' 2>'" + path("err") + "'";
    const int status = std::system(line.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, text_of(path("out")),
            text_of(path("err"))};
  }

  std::string command_, classifier_;
  fs::path folder_;
};

std::vector<std::string> names_of(const TensorMap& tensors) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) names.push_back(name);
  return names;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_F(RunOutput, an_npz_file_holds_the_label_and_the_dictionary_of_a_classifier) {
  const Answer answer = run({"--output", path("o.npz")});
  ASSERT_EQ(answer.code, 0) << answer.err;
  EXPECT_EQ(answer.err, "");
  const TensorMap tensors = read_tensors(path("o.npz"));
  ASSERT_EQ(names_of(tensors),
            (std::vector<std::string>{"classLabel", "classLabel_probs", "classLabel_probs.keys"}));
  EXPECT_EQ(tensors.at("classLabel").data<std::string>()[0], "dog");
  const Tensor keys = tensors.at("classLabel_probs.keys");
  ASSERT_EQ(keys.count(), 3);
  EXPECT_EQ(keys.data<std::string>()[0], "cat");
  EXPECT_EQ(keys.data<std::string>()[2], "fish");
  EXPECT_NEAR(tensors.at("classLabel_probs").number_at(1), 0.931672, 1e-5);
}

TEST_F(RunOutput, a_safetensors_file_leaves_text_out_and_says_so) {
  const Answer answer = run({"--output", path("o.safetensors")});
  ASSERT_EQ(answer.code, 0) << answer.err;
  EXPECT_EQ(answer.err,
            "note: classLabel, classLabel_probs.keys left out: a .safetensors file cannot hold "
            "text, an .npz file can\n");
  EXPECT_EQ(names_of(read_tensors(path("o.safetensors"))),
            std::vector<std::string>{"classLabel_probs"});
}

TEST_F(RunOutput, only_chooses_outputs_by_their_names) {
  ASSERT_EQ(run({"--only", "classLabel_probs", "--output", path("p.npz")}).code, 0);
  EXPECT_EQ(names_of(read_tensors(path("p.npz"))),
            (std::vector<std::string>{"classLabel_probs", "classLabel_probs.keys"}));
  const Answer shown = run({"--only", "classLabel"});
  EXPECT_EQ(shown.code, 0) << shown.err;
  EXPECT_TRUE(has(shown.out, "dog")) << shown.out;
  EXPECT_FALSE(has(shown.out, "probs")) << shown.out;
  ASSERT_EQ(run({"--only", "classLabel,classLabel_probs", "--output", path("b.npz")}).code, 0);
  EXPECT_EQ(read_tensors(path("b.npz")).size(), 3U);
}

TEST_F(RunOutput, what_cannot_be_written_is_one_sentence_and_no_file) {
  const auto refused = [&](const std::vector<std::string>& arguments, const std::string& part) {
    const Answer answer = run(arguments);
    EXPECT_EQ(answer.code, 1) << answer.err;
    EXPECT_EQ(std::count(answer.err.begin(), answer.err.end(), '\n'), 1) << answer.err;
    EXPECT_TRUE(has(answer.err, part)) << answer.err;
  };
  refused({"--only", "probs"},
          "--only probs: no output of the model, which gives classLabel, classLabel_probs");
  refused({"--only", "classLabel", "--output", path("t.safetensors")},
          "classLabel: a .safetensors file cannot hold text; write to a path that ends in .npz");
  refused({"--output", path("t.csv")}, "expected a path that ends in .safetensors or .npz");
  const std::string inputs = text_of(path("x.safetensors"));
  refused({"--output", path("x.safetensors")}, "--output");
  EXPECT_EQ(text_of(path("x.safetensors")), inputs) << "what was read is still there";
  EXPECT_FALSE(fs::exists(path("t.safetensors")));
  EXPECT_FALSE(fs::exists(path("t.csv")));
}

}  // namespace
}  // namespace mw
