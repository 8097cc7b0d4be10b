// The op conformance suite: each case by the planned and by the naive executor against expected
// outputs.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "api/impl.h"
#include "base/tensor_file.h"
#include "millwright/millwright.hpp"
#include "suite.h"

namespace mw {
namespace {

struct Case {
  std::filesystem::path folder;
  nlohmann::json facts;
  TensorMap tensors;
};

// Cases that may miss, each with its reason: tests/data/conformance_exceptions.txt, `case: reason`.
std::map<std::string, std::string> exceptions() {
  std::map<std::string, std::string> result;
  std::ifstream file(std::filesystem::path(std::getenv("MW_TEST_DATA")) /
                     "conformance_exceptions.txt");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (colon != std::string::npos && line[0] != '#')
      result[line.substr(0, colon)] = line.substr(colon + 2);
  }
  return result;
}

bool same_shape(const Tensor& got, const Tensor& want) {
  return got.shape() == want.shape() ||
         (got.count() == 1 && want.count() == 1 && got.rank() <= 1 && want.rank() <= 1);
}

double largest_of(const Tensor& tensor) {
  double largest = 0;
  for (int64_t i = 0; i < tensor.count(); ++i) {
    const double value = std::fabs(tensor.number_at(i));
    if (std::isfinite(value)) largest = std::max(largest, value);
  }
  return largest;
}

// Whether the program computes with fp16 values, whatever precision its weights were asked to be
// stored in.
bool has_fp16(const ir::Function& function) {
  bool found = false;
  ir::for_each_op(function.body, [&](const ir::Operation& op) {
    for (const auto& output : op.outputs)
      found = found || (output->type.is_tensor() && output->type.dtype() == DType::kF16);
  });
  return found;
}

std::string compare(const Tensor& got, const Tensor& want, const nlohmann::json& facts, bool half) {
  if (facts.at("check_shapes").get<bool>() && !same_shape(got, want)) {
    return fmt::format("shape: expected {}, got {}", to_string(want.shape()),
                       to_string(got.shape()));
  }
  if (got.count() != want.count())
    return fmt::format("expected {} elements, got {}", want.count(), got.count());
  const bool floats = is_float(want.dtype()) || is_float(got.dtype());
  const double atol = half ? 4e-3 * largest_of(want) + 1e-3 : facts.at("atol").get<double>();
  const double rtol = half ? 0 : facts.at("rtol").get<double>();
  int64_t misses = 0;
  std::string first;
  for (int64_t i = 0; i < want.count(); ++i) {
    const double g = got.number_at(i), w = want.number_at(i);
    bool good = g == w;
    if (!good && floats)
      good = std::isnan(w) ? std::isnan(g)
                           : std::isfinite(w) && std::fabs(g - w) <= atol + rtol * std::fabs(w);
    if (good) continue;
    if (misses++ == 0) first = fmt::format("[{}]: expected {}, got {}", i, w, g);
  }
  const double allowed =
      facts.at("allow_mismatch_ratio").get<double>() * static_cast<double>(want.count());
  return static_cast<double>(misses) <= allowed
             ? ""
             : fmt::format("{} ({} of {} miss)", first, misses, want.count());
}

// Outputs of random ops are draws: their number, dtype and finiteness can be checked, not their
// values.
std::string compare_random(const Tensor& got, const Tensor& want) {
  if (!same_shape(got, want)) return "shape of a random output";
  for (int64_t i = 0; i < got.count(); ++i) {
    if (!std::isfinite(got.number_at(i))) return "a random output is not finite";
  }
  return "";
}

std::set<std::string> ops_of(const Case& c) {
  const auto model = CoreMLModelWrapper::load(c.folder / "model.mlpackage");
  std::set<std::string> ops;
  ir::for_each_op(model.impl().function->body,
                  [&](const ir::Operation& op) { ops.insert(op.type); });
  return ops;
}

std::string run_case(const Case& c, bool naive) {
  const std::string source = c.facts.at("source").get<std::string>();
  const bool random = source.find("TestRandom") != std::string::npos;
  LoadOptions options;
  options.naive = naive;
  const auto model = CoreMLModelWrapper::load(c.folder / "model.mlpackage", options);
  const bool half = c.facts.at("dtype") == "fp16" || has_fp16(*model.impl().function);
  State state = model.make_state();
  for (int64_t k = 0; k < c.facts.at("predictions").get<int64_t>(); ++k) {
    const std::string in = fmt::format("{}.in.", k), out = fmt::format("{}.out.", k);
    TensorMap inputs;
    for (const auto& [name, tensor] : c.tensors) {
      if (!name.starts_with(in)) continue;
      Tensor given = tensor;
      // Scalars are passed as rank 1 where the model says so.
      for (const auto& feature : model.inputs()) {
        if (feature.name == name.substr(in.size()) && given.count() == 1 && given.rank() == 0 &&
            feature.shape == Shape{1})
          given = given.reshaped({1});
        if (feature.name == name.substr(in.size()) && given.dtype() != feature.dtype)
          given = given.to(feature.dtype);
      }
      inputs[name.substr(in.size())] = given;
    }
    const TensorMap outputs = model.predict(inputs, state);
    for (const auto& [name, want] : c.tensors) {
      if (!name.starts_with(out)) continue;
      const auto got = outputs.find(name.substr(out.size()));
      if (got == outputs.end())
        return fmt::format("output '{}' is missing", name.substr(out.size()));
      const std::string problem =
          random ? compare_random(got->second, want) : compare(got->second, want, c.facts, half);
      if (!problem.empty()) return fmt::format("prediction {}: {}: {}", k, got->first, problem);
    }
  }
  return "";
}

// Passing cases per op, tests/data/conformance_ops.txt, which docs/ops.md takes them from.
void check_op_counts(const std::map<std::string, int64_t>& counts) {
  std::string text = "# Op, and the conformance cases that contain it and pass.\n";
  for (const auto& [op, count] : counts) text += fmt::format("{} {}\n", op, count);
  const auto path = std::filesystem::path(std::getenv("MW_TEST_DATA")) / "conformance_ops.txt";
  if (std::getenv("MW_WRITE_OP_COUNTS") != nullptr) std::ofstream(path) << text;
  std::ifstream file(path);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), text)
      << "MW_WRITE_OP_COUNTS=1 writes " << path << "; then make docs";
}

TEST(conformance, every_case_whose_ops_are_known_passes_planned_and_naive) {
  const auto folder = suite::shared().empty() ? "" : suite::shared() / "conformance";
  if (folder.empty()) GTEST_SKIP() << "MW_SHARED is not set";
  const auto may_miss = exceptions();
  int64_t passed = 0, failed = 0, unknown = 0, excused = 0, total = 0;
  std::set<std::string> unknown_ops;
  std::map<std::string, int64_t> op_counts;
  for (const auto& entry : suite::sorted_entries(folder)) {
    if (!std::filesystem::is_directory(entry)) continue;
    ++total;
    Case c{entry, nlohmann::json::parse(std::ifstream(entry / "case.json")),
           read_tensors(entry / "cases.safetensors")};
    std::string problem;
    try {
      for (const bool naive : {true, false}) {
        problem = run_case(c, naive);
        if (!problem.empty()) {
          problem = (naive ? "naive: " : "planned: ") + problem;
          break;
        }
      }
    } catch (const Error& e) {
      if (e.message().find("unknown op type") != std::string::npos) {
        ++unknown;
        unknown_ops.insert(e.message());
        continue;
      }
      problem = e.what();
    }
    if (problem.empty()) {
      for (const std::string& op : ops_of(c)) ++op_counts[op];
    }
    const bool excuse = may_miss.contains(entry.filename().string());
    if (problem.empty()) {
      ++passed;
      EXPECT_FALSE(excuse) << entry.filename() << " passes; take it off the list of exceptions";
    } else if (excuse) {
      ++excused;
    } else {
      ++failed;
      ADD_FAILURE() << entry.filename() << ": " << problem;
    }
  }
  for (const auto& op : unknown_ops) fmt::print("not in the catalogue: {}\n", op);
  suite::summarise("conformance", passed, failed, unknown + excused);
  EXPECT_GE(passed * 100, total * 60);
  check_op_counts(op_counts);
}

}  // namespace
}  // namespace mw
