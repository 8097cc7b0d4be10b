// Functions that share weights in packages that converters wrote.
#include <fmt/format.h>
#include <unistd.h>

#include "base/tensor_file.h"
#include "exporter/export.h"
#include "facade_testing.h"
#include "millwright/training.hpp"
#include "ops/catalog.h"
#include "ops/weights/shared_weights.h"

namespace mw {
namespace {

namespace fs = std::filesystem;

class SharedModels : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / fmt::format("mw_shared_models_{}", getpid());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  // A file of the larger suites; empty where they are not installed.
  static fs::path shared(const std::string& name) {
    const char* root = std::getenv("MW_SHARED");
    const fs::path path = fs::path(root == nullptr ? "" : root) / name;
    return root != nullptr && fs::exists(path) ? path : "";
  }
  static uint64_t weight_bytes(const fs::path& package) {
    return fs::file_size(package / "Data/com.apple.CoreML/weights/weight.bin");
  }
  // Every adaptable weight of the function changed by an adapter, for all functions.
  [[nodiscard]] fs::path adapted(const fs::path& source, const std::string& function) const {
    package::Model model = package::read(source);
    const ir::Function& adapted = *model.program->find_function(function);
    adapters::AdapterSet set = adapters::begin_adapters(adapted, ops::catalog(), {.rank = 1}, {});
    for (adapters::Adapter& adapter : set.adapters) {
      for (int64_t i = 0; i < adapter.b.count(); ++i) adapter.b.set_number(i, 0.5 + 0.01 * i);
    }
    names_.clear();
    for (const adapters::Adapter& adapter : set.adapters) names_.push_back(adapter.weight);
    (void)exporter::fuse(model, function, set, exporter::Reach::kAllFunctions);
    const fs::path target = folder_ / "adapted.mlpackage";
    (void)package::write(model, target);
    return target;
  }
  // How many of the adapted weights another function has, too.
  [[nodiscard]] size_t shared_weights(const fs::path& path, const std::string& function,
                                      const std::string& other) const {
    const package::Model model = package::read(path);
    const ir::Function& ours = *model.program->find_function(function);
    const ops::SharedWeights shared(ours, *model.program->find_function(other));
    size_t count = 0;
    for (const adapters::AdaptableWeight& weight :
         adapters::adaptable_weights(ours, ops::catalog())) {
      const bool was_adapted =
          std::find(names_.begin(), names_.end(), weight.name()) != names_.end();
      count += was_adapted && !shared.twins(*weight.values[0]).empty() ? 1 : 0;
    }
    return count;
  }

  fs::path folder_;
  mutable std::vector<std::string> names_;
};

TEST_F(SharedModels, that_fill_and_read_one_cache_are_adapted_alike) {
  const fs::path source = shared("lm/anemll/parts/llama_FFN_PF_lut4_chunk_01of02.mlpackage");
  if (source.empty()) GTEST_SKIP() << "MW_SHARED has no lm/anemll";
  for (const auto& [function, other] :
       {std::pair("prefill", "infer"), std::pair("infer", "prefill")}) {
    const fs::path target = adapted(source, function);
    EXPECT_GE(names_.size(), 7U);
    EXPECT_EQ(shared_weights(source, function, other), names_.size());
    EXPECT_EQ(shared_weights(target, function, other), names_.size());
  }
}

TEST_F(SharedModels, of_one_base_with_several_adapters_share_the_base_after_training) {
  MW_SHARED_MODEL(source, "shakespeare-multifunction-ios18.mlpackage");
  const fs::path target = folder_ / "trained.mlpackage";
  LoadOptions options;
  options.function = "adapter_one";
  options.tokenizer = testing::example("tokenizer.json");
  const auto load = [&](const fs::path& path, const char* function) {
    LoadOptions chosen = options;
    chosen.function = function;
    return CoreMLModelWrapper::load(path, chosen);
  };
  StudentModel student(load(source, "adapter_one"), {.optimizer = Sgd{1.0F}});
  std::vector<int32_t> ids(64), labels(64);
  for (size_t i = 0; i < ids.size(); ++i) {
    ids[i] = static_cast<int32_t>(i * 7 % 500);
    labels[i] = static_cast<int32_t>(i * 11 % 500);
  }
  (void)student.training_step(Batch(Tensor::from(ids, {1, 64}), Tensor::from(labels, {1, 64})));
  (void)student.save(target);
  EXPECT_EQ(weight_bytes(target), weight_bytes(source));
  ASSERT_EQ(student.notes().size(), 1U);
  for (const char* function : {"base", "adapter_two"}) {
    EXPECT_NE(student.notes()[0].find(function), std::string::npos) << student.notes()[0];
    EXPECT_GE(testing::largest_difference(load(target, function).forward(ids),
                                          load(source, function).forward(ids)),
              1e-3)
        << function;
  }
}

TEST_F(SharedModels, of_two_functions_give_the_same_row_after_training_or_adapting) {
  const fs::path folder = shared("cases/multifunction-train-unties");
  if (folder.empty()) GTEST_SKIP() << "MW_SHARED has no cases/multifunction-train-unties";
  const fs::path source = folder / "mf.mlpackage", target = folder_ / "trained.mlpackage";
  const TensorMap data = read_tensors(folder / "data.npz");
  const auto load = [](const fs::path& path, const char* function) {
    LoadOptions options;
    options.function = function;
    return CoreMLModelWrapper::load(path, options);
  };
  const auto first_row = [&](const fs::path& path, const char* function, int64_t length) {
    Tensor x(DType::kF32, {length, 16});
    for (int64_t i = 0; i < x.count(); ++i) x.set_number(i, data.at("x").number_at(i));
    const TensorMap outputs = load(path, function).predict({{"x", x}});
    const Tensor& y = outputs.begin()->second;
    std::vector<double> numbers;
    for (int64_t i = 0; i < y.dim(-1); ++i) numbers.push_back(y.number_at(i));
    return numbers;
  };
  const auto length_of = [&](const char* function) {
    return load(source, function).inputs()[0].shape[0];
  };
  const int64_t decode = length_of("decode"), prefill = length_of("prefill");
  for (const bool with_adapter : {false, true}) {
    StudentOptions options;
    options.optimizer = AdamW{0.02F};
    if (with_adapter) options.lora = Lora{.rank = 2};
    StudentModel student(load(source, "decode"), options);
    for (int64_t step = 0; step < 30; ++step) {
      Tensor x(DType::kF32, {decode, 16}), labels(DType::kI32, {decode});
      for (int64_t i = 0; i < decode; ++i) {
        const int64_t example = (step * decode + i) % 64;
        labels.set_integer(i, data.at("labels").integer_at(example));
        for (int64_t k = 0; k < 16; ++k) {
          x.set_number(i * 16 + k, data.at("x").number_at(example * 16 + k));
        }
      }
      (void)student.training_step(Batch(TensorMap{{"x", x}, {"labels", labels}}));
    }
    (void)student.save(target);
    EXPECT_EQ(weight_bytes(target), weight_bytes(source));
    const auto a = first_row(target, "decode", decode), b = first_row(target, "prefill", prefill),
               before = first_row(source, "decode", decode);
    for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-5) << with_adapter;
    EXPECT_GE(std::fabs(a[0] - before[0]), 1e-3) << with_adapter;
  }
}

}  // namespace
}  // namespace mw
