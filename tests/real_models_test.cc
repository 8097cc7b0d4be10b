// Every model file at hand: it runs, equals its twin, and survives both containers bit for bit.
#include <gtest/gtest.h>

#include <cmath>

#include "base/tensor_file.h"
#include "ir/verify.h"
#include "ops/catalog.h"
#include "package/testing.h"
#include "random_inputs.h"
#include "suite.h"

namespace mw {
namespace {

namespace fs = std::filesystem;
using package::testing::TempFolder;

constexpr uint32_t kSeed = 20240607;

// Two files with one stem that hold different networks.
struct NoTwin {
  const char* stem;
  const char* reason;
};
constexpr NoTwin kNoTwins[] = {
    {"silero-vad-256ms",
     "two versions: one takes logarithms, the other pads and takes no logarithm"},
};

bool is_model(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".mlpackage" || extension == ".mlmodelc" || extension == ".mlmodel";
}

std::vector<fs::path> model_files() {
  std::vector<fs::path> folders = {package::testing::fixture("")};
  if (const char* examples = std::getenv("MW_EXAMPLES"))
    folders.push_back(fs::path(examples) / "shakespeare");
  if (const fs::path shared = suite::shared(); !shared.empty()) {
    for (const char* name : {"real", "real/probes", "models", "models/minilm"})
      folders.push_back(shared / name);
  }
  std::vector<fs::path> models;
  for (const fs::path& folder : folders) {
    for (const fs::path& path : suite::sorted_entries(folder)) {
      if (is_model(path)) models.push_back(path);
    }
  }
  return models;
}

// The outputs and, where there are states, what a run leaves in them.
TensorMap run(const CoreMLModelWrapper& model, const TensorMap& inputs) {
  State state = model.make_state();
  TensorMap outputs = model.predict(inputs, state);
  for (const std::string& name : state.names()) outputs["state " + name] = state.get(name);
  return outputs;
}

TensorMap run(const fs::path& path, const std::string& function, uint32_t seed) {
  const auto model = CoreMLModelWrapper::load(path, {.function = function});
  return run(model, suite::random_inputs(model, seed));
}

std::map<std::string, TensorMap> run_all(const fs::path& path,
                                         const std::vector<std::string>& functions) {
  std::map<std::string, TensorMap> outputs;
  for (const std::string& function : functions) outputs[function] = run(path, function, kSeed);
  return outputs;
}

// A run that gave nothing but NaN would equal any other such run.
bool is_telling(const Tensor& output) {
  if (!is_float(output.dtype()) || output.count() == 0) return true;
  for (int64_t i = 0; i < output.count(); ++i) {
    if (std::isfinite(output.number_at(i))) return true;
  }
  return false;
}

// What differs, or nothing.
std::string difference(const TensorMap& got, const TensorMap& want) {
  if (got.size() != want.size()) return fmt::format("{} outputs, not {}", got.size(), want.size());
  for (const auto& [name, tensor] : want) {
    const auto found = got.find(name);
    if (found == got.end()) return fmt::format("no output '{}'", name);
    if (!bit_equal(found->second, tensor)) return fmt::format("output '{}' differs", name);
  }
  return "";
}

std::string without_finite_number(const std::map<std::string, TensorMap>& outputs) {
  for (const auto& [function, tensors] : outputs) {
    for (const auto& [name, tensor] : tensors) {
      if (!is_telling(tensor)) return fmt::format("{}: '{}' has no finite number", function, name);
    }
  }
  return "";
}

std::string difference(const std::map<std::string, TensorMap>& got,
                       const std::map<std::string, TensorMap>& want) {
  for (const auto& [function, outputs] : want) {
    const std::string found = difference(got.at(function), outputs);
    if (!found.empty()) return function.empty() ? found : function + ": " + found;
  }
  return "";
}

fs::path written(const fs::path& from, const fs::path& to) {
  const package::Model model = package::read(from);
  ir::verify(*model.program, ops::catalog());
  package::write(model, to);
  return to;
}

// Runs the model, its other container made here, and its own container made from that one.
std::string there_and_back(const fs::path& path, const TempFolder& folder) {
  const auto functions = CoreMLModelWrapper::load(path).functions();
  const auto expected = run_all(path, functions);
  const bool is_compiled = path.extension() == ".mlmodelc";
  const fs::path there = written(path, folder / (is_compiled ? "a.mlpackage" : "a.mlmodelc"));
  std::string found = without_finite_number(expected);
  if (!found.empty()) return found;
  found = difference(run_all(there, functions), expected);
  if (!found.empty()) return there.extension().string() + ": " + found;
  const fs::path back = written(there, folder / (is_compiled ? "b.mlmodelc" : "b.mlpackage"));
  found = difference(run_all(back, functions), expected);
  return found.empty() ? "" : back.extension().string() + ": " + found;
}

TEST(RealModels, each_one_runs_and_gives_the_same_bits_from_both_containers_made_of_it) {
  const TempFolder folder;
  int64_t passed = 0, failed = 0, refused = 0;
  for (const fs::path& path : model_files()) {
    std::string problem;
    try {
      problem = there_and_back(path, folder);
    } catch (const Error& e) {
      problem = e.what();
      if (e.code() == ErrorCode::kUnsupported &&
          problem.find("a model of kind 'neuralNetwork") != std::string::npos) {
        ++refused;
        continue;
      }
    }
    EXPECT_EQ(problem, "") << path;
    ++(problem.empty() ? passed : failed);
  }
  suite::summarise("models_there_and_back", passed, failed, refused);
  EXPECT_GE(passed, 10);
  if (!suite::shared().empty()) {
    EXPECT_GE(passed, 60);
    EXPECT_EQ(refused, 3) << "the neural networks among them are refused by their kind";
  }
}

TEST(RealModels, a_compiled_model_gives_the_same_bits_as_the_package_it_was_made_from) {
  if (suite::shared().empty()) GTEST_SKIP() << "MW_SHARED is not set";
  int64_t passed = 0, failed = 0, exceptions = 0;
  for (const fs::path& compiled : model_files()) {
    const fs::path twin = fs::path(compiled).replace_extension(".mlpackage");
    if (compiled.extension() != ".mlmodelc" || !fs::exists(twin)) continue;
    const bool excused =
        std::any_of(std::begin(kNoTwins), std::end(kNoTwins),
                    [&](const NoTwin& row) { return compiled.stem() == row.stem; });
    for (const uint32_t seed : {kSeed, kSeed + 1}) {
      const std::string found = difference(run(compiled, "", seed), run(twin, "", seed));
      if (excused) {
        EXPECT_NE(found, "") << compiled << " equals its twin; take it off the list";
        EXPECT_NE(package::testing::Comparison(false).programs(*package::read(compiled).program,
                                                               *package::read(twin).program),
                  "")
            << compiled << " holds the same program; its outputs must be equal";
        continue;
      }
      EXPECT_EQ(found, "") << compiled << ", seed " << seed;
      ++(found.empty() ? passed : failed);
    }
    exceptions += excused ? 1 : 0;
  }
  suite::summarise("twins", passed, failed, exceptions);
  EXPECT_EQ(exceptions, static_cast<int64_t>(std::size(kNoTwins)));
  EXPECT_GE(passed, 10);
}

// The first prediction's inputs of a conformance case, as the model takes them.
TensorMap case_inputs(const fs::path& folder, const CoreMLModelWrapper& model) {
  const TensorMap tensors = read_tensors(folder / "cases.safetensors");
  TensorMap inputs;
  for (const FeatureDescription& feature : model.inputs()) {
    const auto found = tensors.find("0.in." + feature.name);
    if (found == tensors.end()) continue;
    const bool is_scalar = found->second.rank() == 0 && feature.shape == Shape{1};
    inputs[feature.name] =
        (is_scalar ? found->second.reshaped({1}) : found->second).to(feature.dtype);
  }
  return inputs;
}

TEST(ConformanceCases, programs_give_the_same_bits_from_both_containers_made_of_them) {
  if (suite::shared().empty()) GTEST_SKIP() << "MW_SHARED is not set";
  const TempFolder folder;
  int64_t passed = 0, failed = 0, skipped = 0;
  for (const fs::path& entry : suite::sorted_entries(suite::shared() / "conformance")) {
    // Draws of random ops differ from run to run.
    if (!fs::is_directory(entry) || entry.string().find("TestRandom") != std::string::npos)
      continue;
    TensorMap inputs, expected;
    try {
      const auto model = CoreMLModelWrapper::load(entry / "model.mlpackage");
      inputs = case_inputs(entry, model);
      expected = run(model, inputs);
    } catch (const Error&) {
      ++skipped;
      continue;
    }
    std::string problem;
    try {
      const fs::path there = written(entry / "model.mlpackage", folder / "a.mlmodelc");
      const fs::path back = written(there, folder / "b.mlpackage");
      for (const fs::path& path : {there, back})
        problem += difference(run(CoreMLModelWrapper::load(path), inputs), expected);
    } catch (const Error& e) {
      problem = e.what();
    }
    EXPECT_EQ(problem, "") << entry.filename();
    ++(problem.empty() ? passed : failed);
  }
  suite::summarise("conformance_there_and_back", passed, failed, skipped);
  EXPECT_GE(passed, 600);
}

}  // namespace
}  // namespace mw
