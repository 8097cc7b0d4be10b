// Tests of the millwright command: what each sub-command prints, writes and answers to bad input.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/tensor_file.h"
#include "process_testing.h"

namespace mw {
namespace {

namespace fs = std::filesystem;

struct Answer {
  int code = -1;
  std::string out;  // stdout and stderr together
};

std::string quoted(const std::string& word) { return "'" + word + "'"; }

Answer millwright(const std::vector<std::string>& arguments,
                  const std::string& redirect = " 2>&1") {
  std::string command = quoted(std::getenv("MW_CLI"));
  for (const auto& argument : arguments) command += " " + quoted(argument);
  Answer answer;
  FILE* pipe = popen((command + redirect).c_str(), "r");
  if (pipe == nullptr) return answer;
  char buffer[4096];
  for (size_t got = 0; (got = fread(buffer, 1, sizeof buffer, pipe)) > 0;)
    answer.out.append(buffer, got);
  const int status = pclose(pipe);
  answer.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return answer;
}

nlohmann::json json_of(std::vector<std::string> arguments) {
  arguments.emplace_back("--json");
  const Answer answer = millwright(arguments, " 2>/dev/null");
  return nlohmann::json::parse(answer.out, nullptr, false);
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

class Cli : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::getenv("MW_CLI") == nullptr) GTEST_SKIP() << "MW_CLI does not name the command";
    const char* examples = std::getenv("MW_EXAMPLES");
    ASSERT_NE(examples, nullptr);
    model_ = fs::path(examples) / "shakespeare/model.mlpackage";
    if (!fs::exists(model_)) GTEST_SKIP() << model_ << " is absent";
    folder_ = fs::temp_directory_path() / ("mw_cli_test_" + std::to_string(getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override {
    if (!folder_.empty()) fs::remove_all(folder_);
  }
  [[nodiscard]] std::string scratch(const std::string& name) const { return folder_ / name; }
  [[nodiscard]] std::string ids_file(int64_t time, const std::string& name = "input_ids") const {
    Tensor ids(DType::kI32, {1, time});
    for (int64_t i = 0; i < time; ++i) ids.set_integer(i, i % 7);
    const std::string path = scratch("ids" + std::to_string(time) + name + ".safetensors");
    write_safetensors(path, {{name, ids}});
    return path;
  }
  // Exit code 1 and one line that holds every part.
  static void expect_refusal(const Answer& answer, const std::vector<std::string>& parts) {
    EXPECT_EQ(answer.code, 1) << answer.out;
    EXPECT_EQ(std::count(answer.out.begin(), answer.out.end(), '\n'), 1) << answer.out;
    for (const auto& part : parts)
      EXPECT_TRUE(has(answer.out, part)) << part << " is not in: " << answer.out;
  }

  std::string model_;
  fs::path folder_;
};

TEST_F(Cli, inspect_says_what_goes_in_and_out_and_what_can_be_trained) {
  const Answer answer = millwright({"inspect", model_});
  EXPECT_EQ(answer.code, 0) << answer.out;
  for (const char* part : {"input_ids", "int32", "logits", "operations", "can be trained",
                           "weight of linear", "tokenizer.json"}) {
    EXPECT_TRUE(has(answer.out, part)) << part << " is not in: " << answer.out;
  }
}

TEST_F(Cli, inspect_counts_exactly_the_parameters_of_the_original_model) {
  const auto json = json_of({"inspect", model_});
  ASSERT_TRUE(json.is_object());
  const auto& function = json["functions"][0];
  EXPECT_EQ(function["trainable"]["numbers"], 869504);
  EXPECT_EQ(function["trainable"]["tensors"], 38);
  for (const auto& weight : function["weights"]) {
    const auto name = weight["name"].get<std::string>();
    if (has(name, "bias") || has(name, "mask") || has(name, "cos")) {
      EXPECT_FALSE(weight["trainable"].get<bool>()) << name;
    }
    EXPECT_FALSE(weight["reason"].get<std::string>().empty()) << name;
  }
}

TEST_F(Cli, inspect_prints_a_program_that_names_every_weight_it_lists) {
  const Answer text = millwright({"inspect", model_, "--mil"});
  EXPECT_EQ(text.code, 0);
  EXPECT_TRUE(text.out.starts_with("program(")) << text.out.substr(0, 80);
  const auto json = json_of({"inspect", model_});
  for (const auto& weight : json["functions"][0]["weights"]) {
    EXPECT_TRUE(has(text.out, weight["name"].get<std::string>()));
  }
}

TEST_F(Cli, inspect_prints_plans_of_a_prediction_and_of_training) {
  const Answer usual = millwright({"inspect", model_, "--plan"});
  EXPECT_EQ(usual.code, 0) << usual.out;
  EXPECT_TRUE(has(usual.out, " steps: ")) << usual.out;
  const Answer two =
      millwright({"inspect", model_, "--plan", "--seq-len", "5", "--batch-size", "2"});
  EXPECT_TRUE(has(two.out, "int32[2,5]")) << two.out;
  const Answer file = millwright({"inspect", model_, "--plan", "--inputs", ids_file(6)});
  EXPECT_TRUE(has(file.out, "int32[1,6]")) << file.out;
  const Answer step = millwright({"inspect", model_, "--plan", "--program", "step", "--seq-len",
                                  "4", "--trainable", "*norm*", "--optimizer", "lion"});
  EXPECT_TRUE(has(step.out, "learning_rate = i")) << step.out;
}

TEST_F(Cli, inspect_prints_the_program_that_is_planned) {
  const Answer usual = millwright({"inspect", model_, "--plan", "--mil", "--seq-len", "5"});
  EXPECT_EQ(usual.code, 0) << usual.out;
  EXPECT_TRUE(has(usual.out, "func main<ios17>(tensor<int32, [1, 5]> input_ids) {")) << usual.out;
  EXPECT_TRUE(usual.out.ends_with("} -> (logits);\n")) << usual.out;
  const Answer step = millwright({"inspect", model_, "--plan", "--mil", "--program", "step",
                                  "--seq-len", "4", "--trainable", "*norm*"});
  EXPECT_TRUE(has(step.out, "tensor<int32, [1, 4]> labels, fp32 learning_rate")) << step.out;
  EXPECT_TRUE(step.out.ends_with("} -> (loss_sum, count, grad_norm);\n")) << step.out;
  const Answer passes =
      millwright({"inspect", model_, "--plan", "--seq-len", "5", "--print-after", "sink_casts"},
                 " 2>&1 >/dev/null");
  EXPECT_EQ(passes.out, "// after sink_casts\n" + usual.out);
}

TEST_F(Cli, inspect_refuses_plans_that_there_are_not) {
  expect_refusal(millwright({"inspect", model_, "--plan", "--program", "predict"}),
                 {"--program: expected one of accumulate", "got 'predict'"});
  expect_refusal(millwright({"inspect", model_, "--program", "step"}), {"--plan"});
  expect_refusal(millwright({"inspect", model_, "--plan", "--inputs", ids_file(6, "words")}),
                 {"input_ids"});
  expect_refusal(millwright({"inspect", model_, "--plan", "--seq-len", "100000"}),
                 {"expected", "got 100000 in 1"});
}

TEST_F(Cli, inspect_refuses_what_is_no_model) {
  expect_refusal(millwright({"inspect", scratch("absent.mlpackage")}), {"absent.mlpackage"});
  expect_refusal(millwright({"inspect", model_, "--function", "nothing"}), {"nothing", "main"});
}

TEST_F(Cli, run_writes_outputs_of_several_predictions_under_numbered_names) {
  const std::string out = scratch("out.safetensors");
  const Answer answer = millwright(
      {"run", model_, "--inputs", ids_file(3), "--inputs", ids_file(5), "--output", out});
  ASSERT_EQ(answer.code, 0) << answer.out;
  const TensorMap tensors = read_tensors(out);
  ASSERT_EQ(tensors.size(), 2U);
  EXPECT_EQ(tensors.at("0.logits").shape(), (Shape{1, 3, 1024}));
  EXPECT_EQ(tensors.at("1.logits").shape(), (Shape{1, 5, 1024}));
}

TEST_F(Cli, run_gives_the_same_with_and_without_kernels) {
  const std::string fast = scratch("fast.safetensors"), naive = scratch("naive.safetensors");
  ASSERT_EQ(millwright({"run", model_, "--inputs", ids_file(4), "--output", fast}).code, 0);
  ASSERT_EQ(millwright({"run", model_, "--inputs", ids_file(4), "--naive", "--output", naive}).code,
            0);
  const Tensor a = read_tensors(fast).at("logits"), b = read_tensors(naive).at("logits");
  ASSERT_EQ(a.shape(), b.shape());
  for (int64_t i = 0; i < a.count(); ++i) ASSERT_NEAR(a.number_at(i), b.number_at(i), 1e-3);
}

TEST_F(Cli, programs_after_passes_go_to_stderr_and_leave_answers_as_they_are) {
  const std::vector<std::string> run = {"run", model_, "--inputs", ids_file(3)};
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> all = run;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  const Answer plain = millwright(run, " 2>/dev/null");
  const std::vector<std::string> two = {"--print-after", "sink_casts", "--print-after",
                                        "precision"};
  EXPECT_EQ(millwright(with(two), " 2>/dev/null").out, plain.out);
  const std::string text = millwright(with(two), " 2>&1 >/dev/null").out;
  const size_t first = text.find("// after precision\n    func main<"),
               second = text.find("// after ", 1);
  EXPECT_EQ(first, 0U) << text.substr(0, 200);
  ASSERT_NE(second, std::string::npos);
  EXPECT_TRUE(text.substr(second).starts_with("// after sink_casts\n"));
  EXPECT_TRUE(has(text.substr(0, second), "tensor<int32, [?, ?]> input_ids"));
  EXPECT_TRUE(has(text.substr(second), "tensor<int32, [1, 3]> input_ids"));
  const std::string all = millwright(with({"--print-after", "all"}), " 2>&1 >/dev/null").out;
  size_t at = 0;
  for (const char* pass : {"precision", "specialise", "sink_casts"}) {
    at = all.find(std::string("// after ") + pass + "\n", at);
    ASSERT_NE(at, std::string::npos) << pass;
  }
}

TEST_F(Cli, passes_that_are_not_there_are_refused_with_a_list_of_those_that_are) {
  for (const char* command : {"run", "generate", "eval", "grad", "train", "distill"}) {
    EXPECT_TRUE(has(millwright({command, "--help"}).out, "--print-after")) << command;
  }
  expect_refusal(millwright({"run", model_, "--inputs", ids_file(3), "--print-after", "fuse"}),
                 {"--print-after",
                  "all or one of adapters, precision, round_products, specialise, ", "got 'fuse'"});
}

TEST_F(Cli, a_profile_tells_the_times_of_the_passes_and_what_was_copied) {
  const Answer answer =
      millwright({"run", model_, "--inputs", ids_file(3), "--inputs", ids_file(5), "--profile"});
  EXPECT_EQ(answer.code, 0);
  EXPECT_TRUE(has(answer.out, " bytes copied\n"));
  EXPECT_TRUE(has(answer.out, "floating-point operations, bytes copied\n"));
  const size_t table = answer.out.find("passes: calls, time\n");
  ASSERT_NE(table, std::string::npos) << answer.out;
  for (const char* row : {"  precision       1 ", "  specialise  "}) {
    EXPECT_TRUE(has(answer.out.substr(table), row)) << answer.out.substr(table);
  }
}

TEST_F(Cli, run_names_the_inputs_that_the_model_takes) {
  expect_refusal(millwright({"run", model_, "--inputs", ids_file(3, "labels")}),
                 {"labels", "which takes input_ids"});
  expect_refusal(millwright({"run", model_}), {"input_ids", "got none"});
  expect_refusal(millwright({"run", model_, "--inputs", ids_file(200)}),
                 {"input_ids", "128", "200"});
  expect_refusal(millwright({"run", model_, "--inputs", scratch("no.safetensors")}),
                 {"no.safetensors"});
  expect_refusal(millwright({"run", model_, "--input", "input_ids"}), {"NAME=FILE"});
  expect_refusal(millwright({"run", model_, "--inputs", ids_file(3), "--output", scratch("x.txt")}),
                 {".safetensors"});
  expect_refusal(millwright({"run", model_, "--inputs", ids_file(3), "--tap", "no_such_value"}),
                 {"no_such_value"});
}

TEST_F(Cli, convert_round_trips_without_a_difference) {
  const std::string compiled = scratch("m.mlmodelc"), back = scratch("m.mlpackage");
  ASSERT_EQ(millwright({"convert", model_, compiled}).code, 0);
  ASSERT_EQ(millwright({"convert", compiled, back}).code, 0);
  const Answer answer = millwright({"diff", model_, back});
  EXPECT_EQ(answer.code, 0) << answer.out;
  EXPECT_TRUE(answer.out.starts_with("equal")) << answer.out;
}

TEST_F(Cli, convert_renames_an_output_in_program_and_description) {
  const std::string out = scratch("renamed.mlpackage");
  ASSERT_EQ(millwright({"convert", model_, out, "--rename", "logits=scores"}).code, 0);
  EXPECT_EQ(json_of({"inspect", out})["functions"][0]["outputs"][0]["name"], "scores");
  const Answer run = millwright({"run", out, "--inputs", ids_file(2)});
  EXPECT_EQ(run.code, 0) << run.out;
  EXPECT_TRUE(has(run.out, "scores")) << run.out;
  const Answer answer = millwright({"diff", model_, out});
  EXPECT_EQ(answer.code, 1);
  EXPECT_TRUE(has(answer.out, "scores")) << answer.out;
}

TEST_F(Cli, convert_leaves_nothing_behind_when_it_refuses) {
  expect_refusal(millwright({"convert", model_, scratch("out.onnx")}), {"out.onnx", ".mlpackage"});
  expect_refusal(millwright({"convert", model_, scratch("o.mlpackage"), "--rename", "nobody=x"}),
                 {"nobody", "logits"});
  expect_refusal(
      millwright({"convert", model_, scratch("o.mlpackage"), "--rename", "logits=input_ids"}),
      {"already"});
  expect_refusal(millwright({"convert", model_, scratch("o.mlpackage"), "--rename", "logits=a b"}),
                 {"a b"});
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(Cli, diff_answers_with_its_exit_code_and_tells_changed_weights) {
  EXPECT_EQ(millwright({"diff", model_, model_}).code, 0);
  const std::string student = fs::path(model_).parent_path() / "student.mlpackage";
  const Answer answer = millwright({"diff", model_, student});
  EXPECT_EQ(answer.code, 1);
  EXPECT_TRUE(has(answer.out, "weights")) << answer.out;
  EXPECT_FALSE(json_of({"diff", model_, student})["equal"].get<bool>());
}

TEST_F(Cli, doctor_tells_machine_build_and_operations) {
  const Answer answer = millwright({"doctor"});
  EXPECT_EQ(answer.code, 0);
  for (const char* part : {"processor", "SIMD", "products", "models run natively"})
    EXPECT_TRUE(has(answer.out, part)) << answer.out;
  EXPECT_TRUE(has(answer.out, "oneDNN") || has(answer.out, "BLAS")) << answer.out;
  EXPECT_GT(json_of({"doctor", "--ops"})["ops"].size(), 100U);
  const Answer table = millwright({"doctor", "--ops", "--table"});
  EXPECT_TRUE(has(table.out, "| `layer_norm` | ios15 |")) << table.out;
  EXPECT_EQ(millwright({"doctor", "--table"}).code, 1);
}

TEST_F(Cli, every_command_has_help_and_unknown_words_are_refused) {
  for (const char* name :
       {"inspect", "run", "tokenize", "generate", "eval", "convert", "diff", "doctor"}) {
    const Answer answer = millwright({name, "--help"});
    EXPECT_EQ(answer.code, 0) << name;
    EXPECT_TRUE(has(answer.out, "Usage")) << name << answer.out;
  }
  EXPECT_EQ(millwright({"nonsense"}).code, 1);
  EXPECT_EQ(millwright({"inspect"}).code, 1);
  EXPECT_EQ(millwright({"run", model_, "--compute", "fp8"}).code, 1);
  EXPECT_EQ(millwright({"eval", model_}).out,
            "millwright eval: --data is required; see millwright eval --help\n");
  EXPECT_EQ(millwright({"nonsense"}).out,
            "millwright: 'nonsense' is no command; see millwright --help\n");
}

TEST_F(Cli, an_interrupt_ends_a_command_between_two_steps) {
  const fs::path text = folder_ / "long.txt";
  std::ofstream file(text);
  for (int i = 0; i < (1 << 14); ++i) file << "to be or not ";
  file.close();
  testing::Process process({std::getenv("MW_CLI"), "eval", model_, "--seq-len", "32", "--stride",
                            "1", "--batch-size", "1", "--threads", "1", "--data", text},
                           folder_ / "log");
  // Starting takes a small part of that, all steps take minutes.
  EXPECT_TRUE(process.wait_until([&] { return process.processor_seconds() > 2; }));
  process.send(SIGINT);
  EXPECT_EQ(process.wait(), 130);
  EXPECT_EQ(process.output(), "millwright: interrupted\n");
}

}  // namespace
}  // namespace mw
